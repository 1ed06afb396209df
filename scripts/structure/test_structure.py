"""Tests of the structure check, on small crates of their own."""

import tempfile
import unittest
from pathlib import Path

import rules
import source


def crate(files):
    """A crate of these files, as the check reads it."""
    folder = Path(tempfile.mkdtemp())
    for name, text in files.items():
        path = folder / "services" / "one" / "src" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    (folder / "services" / "one" / "Cargo.toml").write_text("", encoding="utf-8")
    return source.crates(folder)


def problems(files):
    return sorted(rules.problems(crate(files)))


class Circles(unittest.TestCase):
    def test_two_modules_that_use_each_other_are_one(self):
        found = problems({"lib.rs": "mod a;\nmod b;", "a.rs": "use crate::b::B;\nstruct A;", "b.rs": "fn f() { super::a::go() }\nstruct B;"})
        self.assertEqual(len(found), 1)
        self.assertIn("a circle of modules: a -> b, b -> a", found[0])

    def test_a_parent_may_declare_and_hand_on(self):
        files = {"lib.rs": "mod a;", "a.rs": "mod b;\npub(crate) use b::B;\npub(crate) struct A;", "a/b.rs": "use super::A;\npub(crate) struct B;"}
        self.assertEqual(problems(files), [])

    def test_a_parent_that_uses_its_child_back_may_not(self):
        files = {"lib.rs": "mod a;", "a.rs": "mod b;\nuse b::B;\nstruct A(B);", "a/b.rs": "use super::A;\nstruct B;"}
        self.assertEqual(len(problems(files)), 1)

    def test_a_name_that_is_handed_on_leads_to_where_it_is_defined(self):
        files = {
            "lib.rs": "mod a;",
            "a.rs": "mod b;\nmod c;\npub(crate) use b::B;",
            "a/b.rs": "use super::c::C;\npub(crate) struct B;",
            "a/c.rs": "use super::B;\npub(crate) struct C;",
        }
        self.assertEqual(len(problems(files)), 1)

    def test_tests_comments_and_texts_use_nothing(self):
        files = {
            "lib.rs": "mod a;\nmod b;",
            "a.rs": "use crate::b::B;\nstruct A;",
            "b.rs": "// crate::a::A\nconst T: &str = \"crate::a::A\";\nstruct B;\n#[cfg(test)]\nmod tests { use crate::a::A; }",
        }
        self.assertEqual(problems(files), [])


class Names(unittest.TestCase):
    def test_a_type_is_defined_once_unless_it_plays_a_part(self):
        files = {"lib.rs": "mod a;\nmod b;", "a.rs": "struct Cell;\nstruct Config;", "b.rs": "pub(crate) enum Cell {}\nstruct Config;"}
        found = problems(files)
        self.assertEqual(len(found), 1)
        self.assertTrue(found[0].startswith("Cell is defined 2 times"), found)


class Sizes(unittest.TestCase):
    def test_long_files_and_functions_are_named(self):
        long = "fn long() {\n" + "    step();\n" * 60 + "}\n"
        self.assertIn("fn long has 62 lines", problems({"lib.rs": long})[0])
        self.assertIn("lib.rs has 401 lines", problems({"lib.rs": "// why\n" * 401})[0])

    def test_a_signature_over_lines_and_comments_do_not_count_as_a_body(self):
        text = "trait T {\n    fn f(\n        a: [u8; 3],\n    );\n}\nfn g() {\n" + "    // why\n" * 80 + "}\n"
        self.assertEqual(problems({"lib.rs": text}), [])


def main():
    result = unittest.TextTestRunner(verbosity=1).run(unittest.defaultTestLoader.loadTestsFromModule(__import__(__name__)))
    return 0 if result.wasSuccessful() else 1
