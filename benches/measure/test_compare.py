"""The comparison's arithmetic, tables and picture, without a process."""

import contextlib
import io
import unittest
import xml.etree.ElementTree
from dataclasses import replace

from . import picture, readme, table
from .accounting import Time, busy, foreign, ticks
from .build import ROOT
from .compare import arguments, show
from .processes import Failed
from .results import CLEAN, Round, Spread, as_json, ratios, rows, summary
from .sample import Sample, check
from .shapes import SHAPES, Entry, selected
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
        self.assertNotIn("cpu_to_haproxy", row)

    def test_a_round_is_as_clean_as_its_worst_sample(self):
        clean = rounds((10, 5))[0]
        dirty = Round({**clean.samples, "relayed": replace(ONE, foreign=CLEAN + 0.01)})
        self.assertTrue(clean.is_clean)
        self.assertFalse(dirty.is_clean)

    def test_the_table_has_a_row_for_each(self):
        shown = table.text(list(rows(as_json(rounds((10, 9), (10, 11)))["rows"])))
        self.assertRegex(shown, r"relayed +10\.0 \[9\.0–11\.0\]")
        self.assertIn("1.00 [0.90–1.10]", shown)


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
        for shape in SHAPES:
            labels = [entry.label for entry in shape.entries]
            self.assertEqual(labels[:3], ["direct", "nginx", "haproxy"])
            self.assertEqual(len(labels), len(set(labels)))

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

    def test_the_committed_readme_has_the_marks(self):
        self.assertIn("x", readme.between((ROOT / "README.md").read_text(), "x"))


class Arguments(unittest.TestCase):
    def test_five_rounds_are_the_default(self):
        self.assertEqual(arguments([]).rounds, 5)

    def test_results_can_be_shown_again(self):
        with contextlib.redirect_stdout(io.StringIO()) as shown:
            show(found())
        self.assertIn("idle memory", shown.getvalue())
