"""The gates' arithmetic, without a process."""

import unittest

from . import build, table
from .cases import CASES, STALE
from .gates import KINDS, Figure, compare, instructions, read_bounds, rows, system_calls
from .processes import Failed

SUMMARY = """\
% time     seconds  usecs/call     calls    errors syscall
------ ----------- ----------- --------- --------- ----------------
 55.75    0.100179          22      4391           epoll_wait
 19.21    0.034510           8      4000           writev
  2.25    0.004040           1      4002         1 recvfrom
  0.00    0.000003           3         1           epoll_ctl
------ ----------- ----------- --------- --------- ----------------
100.00    0.179679          10     16419         2 total
"""


class Counts(unittest.TestCase):
    def test_calls_other_than_those_of_epoll_are_counted(self):
        self.assertEqual(system_calls(SUMMARY), {"writev": 4000, "recvfrom": 4002})

    def test_the_sum_of_callgrind_is_found(self):
        self.assertEqual(instructions("version: 1\nevents: Ir\nsummary: 4217\n\nfn=(1)\n"), 4217)
        with self.assertRaises(Failed):
            instructions("version: 1\n")


class Bounds(unittest.TestCase):
    def test_more_than_is_allowed_is_over_and_so_is_what_nobody_allowed(self):
        bounds = {"relayed-get": {"syscalls": {"allowed": 4.05, "target": 4.0}}}
        measured = {("relayed-get", "syscalls"): 4.06, ("relayed-put", "syscalls"): 1.0}
        over, unknown = compare(measured, bounds)
        self.assertTrue(over.is_over and unknown.is_over)
        self.assertEqual((over.word, unknown.word), ("OVER", "has no bound"))
        self.assertFalse(Figure("relayed-get", "syscalls", 4.05, 4.05, 4.0).is_over)

    def test_a_bound_far_above_the_figure_is_to_be_lowered(self):
        self.assertEqual(Figure("relayed-get", "instructions", 90.0, 100.0, None).word, "lower the bound")
        self.assertEqual(Figure("relayed-get", "instructions", 98.0, 100.0, None).word, "")
        self.assertEqual(Figure("relayed-get", "instructions", 50.0, 100.0, 100.0).word, "")

    def test_every_case_has_a_bound_of_every_kind_and_no_bound_is_for_nothing(self):
        bounds = read_bounds(build.BENCHES / "gates.toml")
        self.assertEqual(set(bounds), set(CASES))
        for case, of_case in bounds.items():
            self.assertEqual(set(of_case), set(KINDS), case)
            for bound in of_case.values():
                self.assertLessEqual(bound.get("target", 0), bound["allowed"], case)

    def test_the_table_names_the_pair(self):
        shown = table.text(list(rows([Figure("relayed-get", "instructions", 27001.4, 27000, 27000)])))
        self.assertIn("27,001   27,000  27,000  OVER", shown)


class Requests(unittest.TestCase):
    def test_a_refused_write_is_one_to_whoever_does_not_guard(self):
        case = CASES["refused-put"]
        ours, theirs = case.arguments(64), case.arguments(64, straight=True)
        self.assertEqual((ours[ours.index("--expect") + 1], theirs[theirs.index("--expect") + 1]), ("412", "204"))
        self.assertIn(STALE, ours)
        self.assertIn("/64/docs/{}", ours)

    def test_recalled_writes_have_documents_of_their_own(self):
        self.assertIn("/1024/docs/{}-{n}", CASES["warm-put"].arguments(1024))
