"""What is trained, by which tools, and which program is measured; without a process of the proxy."""

import os
import tempfile
import unittest
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

from . import build, profdata, train
from .cases import CASES
from .compare import OURS
from .packages import Missing
from .processes import Failed


class Lessons(unittest.TestCase):
    def test_every_case_is_sent_in_every_size_to_a_proxy_that_is_ours(self):
        taught = [(shape.size, shape.entries[0]) for shape in train.lessons()]
        for size in train.SIZES:
            self.assertEqual({entry.case for of, entry in taught if of == size}, set(CASES), size)
        self.assertEqual({entry.peer for _, entry in taught}, set(OURS))
        self.assertEqual(len(taught), len(set(taught)))

    def test_what_is_recalled_is_read_before_until_the_time_is_over_and_the_rest_is_sent_once(self):
        for case, runs, read_again in (("warm-put", 3, 2), ("probed-put", 1, 0)):
            with self.subTest(case=case), mock.patch.object(train, "Load") as load:
                load.return_value.go.return_value = {"seconds": 0.4}
                shape = next(shape for shape in train.lessons() if shape.entries[0].case == case)
                peer = SimpleNamespace(address="there")
                rig = SimpleNamespace(processes=None, others=None, peers={shape.entries[0].peer: peer})
                train.send(rig, shape, 1.0)
                load = load.return_value
                self.assertEqual((load.go.call_count, load.again.call_count), (runs, read_again))
                load.end.assert_called_once_with()


class Counts(unittest.TestCase):
    def trained(self, codes, written):
        """Trains proxies that end so, so many of which write."""
        peers = {number: SimpleNamespace(name=number, process=SimpleNamespace(returncode=None)) for number in codes}
        del peers[0]
        ended = iter(codes.values())
        with (
            tempfile.TemporaryDirectory() as folder,
            mock.patch.object(train, "Processes") as processes,
            mock.patch.object(train, "start", return_value=SimpleNamespace(peers=peers)),
            mock.patch.object(train, "with_tls", return_value=SimpleNamespace(name=0, process=SimpleNamespace())),
            mock.patch.multiple(train, lessons=list, stream=mock.DEFAULT),
            mock.patch.object(train.packages, "need"),
            mock.patch.object(train.build, "build"),
            mock.patch.object(train.profdata, "find", return_value="tool"),
            mock.patch.object(train.profdata, "merge") as merge,
            mock.patch.dict(os.environ),
        ):
            for number in range(written):
                (Path(folder) / f"{number}.profraw").touch()
            within = processes.return_value.__enter__.return_value
            within.folder = Path(folder)
            within.end.side_effect = lambda process: setattr(process, "returncode", next(ended))
            train.main(["output"])
            return len(merge.call_args.args[1])

    def test_all_that_were_asked_must_have_ended_in_good_order_and_written_their_counts(self):
        self.assertEqual(self.trained({0: 0, 1: 0}, 2), 2)
        with self.assertRaisesRegex(Failed, "1 of 2 have written"):
            self.trained({0: 0, 1: 0}, 1)
        with self.assertRaisesRegex(Failed, "ended with -9"):
            self.trained({0: 0, 1: -9}, 2)


class Tool(unittest.TestCase):
    def test_the_toolchain_has_the_right_one_and_else_the_newest_is_taken_that_is_not_too_old(self):
        names = ["llvm-profdata-9", "llvm-profdata-19", "llvm-profdata-20", "llvm-profdata-20.1", "llvm-profdata-19"]
        for toolchain, found, expected in (
            ([Path("/rust/llvm-profdata")], names, "/rust/llvm-profdata"),
            ([], names, "llvm-profdata-20"),
            ([], ["llvm-profdata-14", "llvm-profdata-9"], None),
            ([], ["llvm-profdata-100", "llvm-profdata-20"], "llvm-profdata-100"),
            ([], [], None),
        ):
            with self.subTest(toolchain=toolchain, found=found):
                self.assertEqual(profdata.chosen(toolchain, found), expected)

    def test_where_none_can_be_installed_the_error_says_what_to_install(self):
        with (
            mock.patch.object(profdata, "chosen", return_value=None),
            mock.patch.object(profdata.packages, "need", side_effect=Missing("install llvm-19: there is no apt-get")),
            self.assertRaisesRegex(Missing, "install llvm-19: .*`rustup component add llvm-tools`"),
        ):
            profdata.find()


class Program(unittest.TestCase):
    def test_the_environment_names_the_proxy_and_no_other_program(self):
        with mock.patch.dict(os.environ, {"STALEGUARD_PROGRAM": "/there/staleguard"}):
            self.assertEqual(build.program("staleguard"), Path("/there/staleguard"))
            self.assertEqual(build.program("staleguard-load"), build.folder() / "staleguard-load")
            del os.environ["STALEGUARD_PROGRAM"]
            self.assertEqual(build.program("staleguard"), build.folder() / "staleguard")

    def test_what_is_not_built_is_said_with_the_command_that_builds_it(self):
        with tempfile.TemporaryDirectory() as folder, mock.patch.dict(os.environ, {"CARGO_TARGET_DIR": folder}):
            with self.assertRaisesRegex(build.NotBuilt, "benches/ship builds it"):
                build.ship(is_there=True)
            there = Path(folder).resolve() / "ship" / "staleguard"
            there.parent.mkdir()
            there.touch()
            self.assertEqual(build.ship(is_there=True), there)

    def test_the_last_line_of_what_builds_it_is_where_it_is(self):
        for code, output in ((0, "/there/staleguard\n"), (1, "")):
            done = SimpleNamespace(returncode=code, stdout=output)
            with mock.patch.object(build.subprocess, "run", return_value=done):
                if code == 0:
                    self.assertEqual(build.ship(is_there=False), Path("/there/staleguard"))
                else:
                    with self.assertRaises(build.NotBuilt):
                        build.ship(is_there=False)
