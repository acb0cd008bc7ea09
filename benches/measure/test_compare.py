"""The comparison's arithmetic, tables and picture, without a process."""

import contextlib
import io
import json
import os
import subprocess
import sys
import tempfile
import unittest
import xml.etree.ElementTree
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

from . import picture, readme, table, targets
from .accounting import Time, busy, foreign, ticks, time_of
from .build import ROOT
from .compare import arguments, keep, show
from .footprint import Shot, released_row, two_cores_row, writers_rows
from .length import length, minutes
from .processes import Failed
from .results import Spread, as_json, ratio_rows, ratios, rows, summary
from .rounds import ATTEMPTS, CLEAN, Round, disturbed, rounds_of
from .sample import Sample, Watch, check, words
from .shapes import SHAPES, SIZES, Entry, Shape, selected
from .witnesses import h2load_says, wrk_says

ONE = Sample(
    requests=1000, seconds=2.0, cpu_us=10.0, user_us=2.0, p50_us=100.0, p99_us=300.0, memory=2**20, calls=1.0,
    foreign=0.1, fewest=10, most=20,
)  # fmt: skip
STAT = """\
cpu  999 999 999 999 9 0 99 9 0 0
cpu0 100 10 30 5000 7 0 20 40 0 0
cpu1 100 0 0 5000 7 1 0 0 0 0
cpu10 100 0 0 5000 7 1 0 0 0 0
intr 1 2 3
"""


def rounds(*pairs):
    """Rounds of nginx and ours, by what each costs."""
    return [Round({"nginx": replace(ONE, cpu_us=nginx), "relayed": replace(ONE, cpu_us=ours)}) for nginx, ours in pairs]


class Accounting(unittest.TestCase):
    def test_only_the_cores_in_question_count_and_what_was_lent_counts_too(self):
        self.assertAlmostEqual(busy(STAT, {0}), 2.0)
        self.assertAlmostEqual(busy(STAT, {0, 1}), 3.01)

    def test_foreign_is_what_is_not_ours(self):
        self.assertAlmostEqual(foreign(3.0, 2.0, 2.0), 0.5)
        # Ticks are coarse: less than nothing is nothing.
        self.assertEqual(foreign(1.99, 2.0, 2.0), 0.0)
        self.assertEqual(foreign(1.0, 0.0, 0.0), 0.0)

    def test_a_name_with_parentheses_hides_nothing(self):
        stat = "12 (a) b) S 1 2 3 4 5 6 7 8 9 10 300 100 0 0 20 0 1 0 5"
        self.assertEqual(ticks(stat), (3.0, 1.0))

    def test_the_share_outside_the_kernel_is_that_of_the_ticks(self):
        used = Time(9.0, 3.0, 1.0) - Time(1.0, 0.0, 0.0)
        self.assertEqual((used.total, used.user_share), (8.0, 0.75))
        self.assertEqual(Time(1.0, 0.0, 0.0).user_share, 0.0)


class Results(unittest.TestCase):
    def test_a_ratio_is_taken_within_its_round(self):
        # A machine that gets slower would make 1.5 of the medians' ratio; each round says 0.5, 1.0 or 2.0.
        found = ratios(rounds((10, 5), (20, 20), (40, 80)), "relayed", "nginx", lambda sample: sample.cpu_us)
        self.assertEqual(found, Spread(1.0, 0.5, 2.0))

    def test_a_summary_has_what_is_there_to_compare_with(self):
        row = summary(rounds((10, 5)))["relayed"]
        self.assertEqual(row["cpu_to_nginx"].median, 0.5)
        self.assertEqual(row["rps"].median, 500.0)
        self.assertEqual((row["user_us"].median, row["system_us"].median), (2.0, 3.0))
        self.assertNotIn("cpu_to_haproxy", row)

    def test_all_of_it_is_compared_within_the_round_not_only_cpu(self):
        one = {"nginx": ONE, "guarded, recalled": replace(ONE, requests=500, p50_us=150.0, memory=2**22, cpu_us=30.0)}
        asked = replace(ONE, cpu_us=45.0)
        found = as_json([Round({**one, "guarded, asked before": asked})])["rows"]
        ours = found["guarded, recalled"]
        self.assertEqual([ours[f"{of}_to_nginx"]["median"] for of in ("cpu", "rps", "p50", "memory")], [3, 0.5, 1.5, 4])
        self.assertEqual(found["guarded, asked before"]["cpu_to_recalled"]["median"], 1.5)
        head, *lines = ratio_rows(found)
        shown = dict(zip(head, lines[1], strict=True))
        self.assertEqual(shown["requests/s × nginx"], "0.50 [0.50–0.50]")
        self.assertEqual(shown["memory × nginx"], "4.00 [4.00–4.00]")
        self.assertEqual(shown["p50 × direct"], "–")

    def test_a_round_is_as_clean_as_its_worst_sample(self):
        clean = rounds((10, 5))[0]
        dirty = Round({**clean.samples, "relayed": replace(ONE, foreign=CLEAN + 0.01)})
        self.assertTrue(clean.is_clean)
        self.assertFalse(dirty.is_clean)

    def test_the_table_has_a_row_for_each(self):
        shown = table.text(list(rows(as_json(rounds((10, 9), (10, 11)))["rows"])))
        self.assertRegex(shown, r"relayed +10\.0 \[9\.0–11\.0\] +2\.0 +8\.0 ")
        self.assertIn("1.00 [0.90–1.10]", shown)


class Rounds(unittest.TestCase):
    def taken(self, foreign, *argv):
        """The rounds that come of tries that are so much disturbed."""
        tries = iter(foreign)
        with contextlib.redirect_stderr(io.StringIO()) as said:
            found = rounds_of(arguments(argv), "X", lambda: {"nginx": replace(ONE, foreign=next(tries))})
        return [one.foreign for one in found], said.getvalue(), list(tries)

    def test_a_round_that_others_disturbed_is_taken_again(self):
        found, said, left = self.taken([0.3, 0.9, 0.1, 0.2, 9.0], "--rounds", "2")
        self.assertEqual((found, left), ([0.1, 0.2], [9.0]))
        self.assertIn("X: round 1 of 2, others took 0.90 of a core", said)

    def test_where_it_never_gets_quiet_the_quietest_try_counts_and_is_marked(self):
        found, _, left = self.taken([0.9, 0.5, 0.4, 0.8, 0.6, 0.0], "--rounds", "1")
        self.assertEqual((found, len(left)), ([0.4], 6 - ATTEMPTS))
        dirty = Round({"nginx": replace(ONE, foreign=0.4)})
        self.assertEqual(disturbed([dirty, Round({"nginx": ONE})]), "; NOT CLEAN in 1 of 2 rounds")
        self.assertEqual(disturbed([Round({"nginx": ONE})]), "")

    def test_nothing_is_taken_again_if_so_told(self):
        self.assertEqual(self.taken([0.9, 0.0], "--rounds", "1", "--anyway")[0], [0.9])

    def test_what_was_started_and_has_ended_is_ours(self):
        rig = SimpleNamespace(cpus=os.sched_getaffinity(0), time=lambda: time_of([os.getpid()]))
        watch = Watch(rig)
        work = "import time\nwhile time.process_time() < 0.3: pass"
        subprocess.run([sys.executable, "-c", work], check=True)
        self.assertGreaterEqual(watch.ours(), 0.3)


class Length(unittest.TestCase):
    def test_it_is_longer_with_more_of_anything(self):
        few, many = arguments(["--rounds", "5", "--seconds", "1"]), arguments(["--rounds", "5", "--seconds", "2"])
        self.assertLess(length(SHAPES[:2], few), length(SHAPES, few))
        # All samples of all rounds, each a second longer.
        samples = 5 * sum(len(shape.entries) for shape in SHAPES)
        self.assertGreaterEqual(length(SHAPES, many) - length(SHAPES, few), samples)
        self.assertEqual(length([], arguments(["--only", "warm-put"])), 0)
        self.assertEqual((minutes(5), minutes(610)), ("about 1 min", "about 10 min"))


class Beside(unittest.TestCase):
    def shots(self, **cpu):
        """A round of shots that cost so much."""
        return Round({name: Shot(rps=1e6 / us, cpu_us=us, share=0.98, foreign=0.0) for name, us in cpu.items()})

    def test_writers_on_their_own_documents_are_beside_those_whom_nobody_holds_up(self):
        rounds = [
            self.shots(uncontended=50.0, own=55.0, same=90.0),
            self.shots(uncontended=100.0, own=120.0, same=90.0),
        ]
        free, own, same = writers_rows(rounds)
        self.assertAlmostEqual(own["value"], 1.15)
        self.assertIn("1.15 [1.10–1.20] × the CPU", own["note"])
        self.assertIn("15,000 writes/s, 75.0 µs each", free["text"])
        self.assertEqual(same["value"], 0.98)

    def test_of_several_rounds_the_least_fair_one_counts(self):
        fair, unfair = (self.shots(uncontended=1.0, own=1.0, same=1.0) for _ in range(2))
        unfair.samples["same"] = replace(unfair.samples["same"], share=0.1)
        *_, same = writers_rows([fair, unfair, fair])
        self.assertEqual(same["value"], 0.1)

    def test_two_cores_are_measured_where_the_load_has_its_own_and_reckoned_where_not(self):
        rounds = [Round({"one": Shot(100.0, 20.0, 1.0, 0.0), "two": Shot(150.0, 25.0, 1.0, 0.0)})]
        alone, shared = two_cores_row(rounds, 2), two_cores_row(rounds, 0)
        self.assertEqual((alone["value"], shared["value"]), (1.5, 1.6))
        self.assertIn("with the load on 2 further cores", alone["note"])
        self.assertIn("the rate was 1.50", shared["note"])

    def test_what_is_left_of_a_hold_is_spread_over_all_of_them(self):
        self.assertEqual(released_row(2**20, 2**20 + 4096, 1024)["value"], 4.0)


class Samples(unittest.TestCase):
    def test_what_the_upstream_saw_must_be_what_the_case_says(self):
        for peer, case, calls, is_right in (
            ("staleguard-exclusive", "refused-put", 0.0, True),
            ("staleguard-exclusive", "refused-put", 0.001, False),
            ("staleguard", "probed-put", 2.0, True),
            ("staleguard", "probed-put", 1.0, False),
            ("staleguard-exclusive", "warm-put", 1.01, True),
            ("staleguard-exclusive", "warm-put", 1.2, False),
            ("nginx", "relayed-put", 0.5, False),
        ):
            with self.subTest(case=case, calls=calls):
                if is_right:
                    check(Entry("x", peer, case), calls)
                else:
                    with self.assertRaises(Failed):
                        check(Entry("x", peer, case), calls)

    def test_each_shape_is_measured_by_both_peers(self):
        names = [shape.name for shape in SHAPES]
        self.assertEqual((len(names), len(set(names))), (2 * len(SIZES) * 2,) * 2)
        for shape in SHAPES:
            labels = [entry.label for entry in shape.entries]
            self.assertEqual(labels[:3], ["direct", "nginx", "haproxy"])
            self.assertEqual(len(labels), len(set(labels)))

    def test_of_large_documents_fewer_are_read_before_as_many_are_written(self):
        entry = Entry("guarded, recalled", "staleguard-exclusive", "warm-put")
        for size, connections, each in ((1024, 64, 32), (1024, 1, 2048), (2**20, 64, 2), (2**20, 1, 128)):
            asked, learned = words(Shape("PUT", size, connections, (entry,)), entry, 1.0)
            self.assertEqual((asked[asked.index("--each") + 1], learned), (each, each * connections))

    def test_one_case_alone_keeps_its_peers(self):
        self.assertEqual([shape.name for shape in selected(["warm-put"], True)], ["PUT-1024-64"])
        for shape in selected(["warm-put"], False):
            self.assertEqual(shape.method, "PUT")
            ours = [entry.case for entry in shape.entries if not entry.straight]
            self.assertEqual((ours, len(shape.entries)), (["warm-put"], 4))


class Witnesses(unittest.TestCase):
    def test_errors_are_no_result(self):
        self.assertEqual(wrk_says("  1234 requests in 1.00s, 1MB read\n"), 1234)
        with self.assertRaises(Failed):
            wrk_says("  1234 requests in 1.00s, 1MB read\n  Non-2xx or 3xx responses: 1\n")
        line = "requests: 100 total, 100 started, 100 done, {} succeeded, {} failed, {} errored, 0 timeout\n"
        self.assertEqual(h2load_says(line.format(100, 0, 0)), 100)
        with self.assertRaises(Failed):
            h2load_says(line.format(99, 1, 0))


def found():
    """Results, small ones."""
    taken = [
        Round({**one.samples, "haproxy": ONE, "guarded <&": ONE, "refused from memory": ONE}) for one in rounds((10, 9))
    ]
    shape = {"title": "GET 1 KiB", **as_json(taken)}
    machine = {
        "when": "2026-01-01", "cores": 2, "processor": "P", "sha_ni": True, "nginx": "nginx/1", "haproxy": "HAProxy 2",
    }  # fmt: skip
    extra = [{"title": "idle memory", "value": 1, "text": "1 MiB", "note": "PSS"}]
    shapes = {"GET-1024-64": shape, "PUT-1024-64": shape}
    return {"machine": machine, "rounds": 1, "seconds": 2.0, "shapes": shapes, "footprint": extra}


class Targets(unittest.TestCase):
    def test_each_is_held_to_what_was_found_and_what_was_not_measured_is_left_out(self):
        everything = found()
        everything["footprint"] = [
            {"title": "idle memory: staleguard", "value": 9 * 2**20},
            {"title": "two cores beside one", "value": 1.9},
        ]
        lines = {line[0]: line[1:] for line in targets.rows(everything)[1:]}
        self.assertEqual(lines["GET relayed: CPU × nginx"], ["0.90 ×", "≤ 0.97 ×", ""])
        self.assertEqual(lines["idle memory"], ["9.00 MiB", "≤ 8 MiB", "not reached"])
        self.assertEqual(lines["two cores beside one"], ["1.90 ×", "≥ 1.8 ×", ""])
        self.assertEqual(lines["PUT refused: requests upstream"], ["1.00 each", "≤ 0 each", "not reached"])
        self.assertNotIn("binary", lines)

    def test_each_shape_and_row_that_one_speaks_of_is_measured(self):
        labels = {shape.name: {entry.label for entry in shape.entries} for shape in SHAPES}
        for target in targets.TARGETS:
            if len(target.place) == 3:
                self.assertIn(target.place[1], labels[target.place[0]], target.title)


class Written(unittest.TestCase):
    def test_the_picture_is_xml_for_both_schemes_with_bars_as_long_as_the_figures(self):
        text = picture.draw(found())
        root = xml.etree.ElementTree.fromstring(text)
        self.assertIn("prefers-color-scheme: dark", text)
        bars = root.findall("{http://www.w3.org/2000/svg}rect")
        # nginx, HAProxy and ours reading, and with the refusal writing; two parts each.
        self.assertEqual(len(bars), 2 * (3 + 4))
        whole = (float(bars[0].get("width")), float(bars[1].get("width")))
        self.assertAlmostEqual(whole[0] / whole[1], 8 / 2, delta=0.01)

    def test_what_stands_between_the_marks_is_replaced_and_nothing_else(self):
        text = f"before\n{readme.BEGIN}\nold\n{readme.END}\nafter\n"
        new = readme.between(text, "new")
        self.assertEqual(new, f"before\n{readme.BEGIN}\nnew\n{readme.END}\nafter\n")
        with self.assertRaises(ValueError):
            readme.between("no marks", "new")

    def test_what_was_disturbed_is_said(self):
        clean, dirty = found(), found()
        dirty["shapes"]["PUT-1024-64"] = {**dirty["shapes"]["PUT-1024-64"], "rounds": [{"clean": False}]}
        self.assertNotIn("do not trust", readme.section(clean))
        self.assertIn("In 1 of 2 rounds", readme.section(dirty))
        self.assertIn("| idle memory | 1 MiB | PSS |", readme.report(clean))

    def test_everything_is_written_down_also_while_some_is_missing(self):
        with tempfile.TemporaryDirectory() as folder:
            part = {**found(), "shapes": {}}
            del part["footprint"]
            for one in (part, found()):
                keep(one, Path(folder) / "new")
                self.assertEqual(json.loads((Path(folder) / "new/latest.json").read_text()), one)
            names = sorted(file.name for file in (Path(folder) / "new").iterdir())
            self.assertEqual(names, ["README.md", "compare.svg", "latest.json"])

    def test_the_committed_readme_has_the_marks(self):
        self.assertIn("x", readme.between((ROOT / "README.md").read_text(), "x"))


class Arguments(unittest.TestCase):
    def test_five_rounds_are_the_default(self):
        self.assertEqual(arguments([]).rounds, 5)

    def test_results_can_be_shown_again(self):
        with contextlib.redirect_stdout(io.StringIO()) as shown:
            show(found())
        self.assertIn("idle memory", shown.getvalue())
