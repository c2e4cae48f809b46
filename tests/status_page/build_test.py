"""metrics/status_page/build.py: one file, the policy that fits it, and the same bytes in C++."""

import base64
import hashlib
import importlib.util
import pathlib
import re
import tempfile
import unittest

SOURCES = pathlib.Path(__file__).resolve().parents[2] / "metrics" / "status_page"
spec = importlib.util.spec_from_file_location("build", SOURCES / "build.py")
build = importlib.util.module_from_spec(spec)
spec.loader.exec_module(build)

INDEX = """<!doctype html>
<link rel="stylesheet" href="a.css">
<script src="lib.js"></script>
<script type="module" src="main.mjs"></script>
"""
FILES = {
    "index.html": INDEX,
    "a.css": "p { color: red; }\n",
    "lib.js": "var lib = 1;",
    "main.mjs": 'import {one,\n        two} from "./other.mjs";\nconsole.log(one, two());\n',
    "other.mjs": "export const one = 1;\nconst hidden = 2;\nexport function two() { return hidden; }\n",
}


def page(**changed):
    with tempfile.TemporaryDirectory() as folder:
        root = pathlib.Path(folder)
        for name, text in {**FILES, **changed}.items():
            (root / name).write_text(text, encoding="utf-8", newline="")
        return build.Page(root)


def hashes(html, tag):
    found = re.findall(rf"<{tag}(?: type=\"module\")?>(.*?)</{tag}>", html, re.DOTALL)
    digests = (hashlib.sha256(text.encode()).digest() for text in found)
    return [f"'sha256-{base64.b64encode(digest).decode()}'" for digest in digests]


def directive(csp, name):
    return re.search(rf"{name} ([^;]*)", csp)[1].split()


class BuildTest(unittest.TestCase):
    def test_policy_has_the_hash_of_each_script_and_style(self):
        for built in (page(), build.Page()):
            self.assertEqual(directive(built.csp, "script-src"), hashes(built.html, "script"))
            self.assertEqual(directive(built.csp, "style-src"), hashes(built.html, "style"))
            self.assertEqual(len(directive(built.csp, "script-src")), 2)

    def test_modules_come_after_what_they_need(self):
        html = page().html
        self.assertLess(html.index("// other.mjs"), html.index("// main.mjs"))
        self.assertIn("const {one, two} = module_other;", html)
        self.assertIn("return {one, two};", html)
        self.assertNotIn("export ", html)
        self.assertNotIn("import ", html)

    def test_a_module_that_two_need_is_there_once(self):
        built = page(**{
            "main.mjs": 'import {one} from "./other.mjs";\nimport {three} from "./third.mjs";\n',
            "third.mjs": 'import {one} from "./other.mjs";\nexport const three = one;\n',
        })
        self.assertEqual(built.html.count("// other.mjs"), 1)

    def test_what_is_not_understood_is_refused(self):
        for name, text, complaint in (
            ("main.mjs", 'import other from "./other.mjs";\n', "not understood"),
            ("main.mjs", 'import {one as uno} from "./other.mjs";\n', "does not export"),
            ("main.mjs", 'import {three} from "./other.mjs";\n', "does not export"),
            ("other.mjs", "export default 1;\n", "not understood"),
            ("other.mjs", "export let one = 1;\n", "not understood"),
            ("other.mjs", 'import {x} from "./main.mjs";\nexport const one = 1, two = 2;\n', "circle"),
            ("main.mjs", 'const x = "</script>";\n', "end early"),
            ("lib.js", "x = '<!--';", "end early"),
            ("a.css", "p::after { content: '</style>' }", "end early"),
            ("a.css", "p { color: red }\r\n", "carriage return"),
            ("index.html", INDEX + '<img src="x.png">', "still names x.png"),
            ("index.html", INDEX + '<script defer src="x.js"></script>', "still names x.js"),
        ):
            with self.subTest(text=text), self.assertRaisesRegex(build.BuildError, complaint):
                page(**{name: text})

    def test_cpp_has_the_same_bytes(self):
        text = 'a "quoted" \\ line ??= with ümläut…\nand\ta tab 7\n' + "x" * 5000
        literals = build._literals(text)
        self.assertTrue(all(len(line) < 8200 for line in literals.splitlines()))
        decoded = bytearray()
        for line in literals.splitlines():
            inside = re.fullmatch(r'    "(.*)"', line)[1]
            for octal, plain in re.findall(r"\\([0-7]{3})|([^\\])", inside):
                decoded.append(int(octal, 8) if octal else ord(plain))
        self.assertEqual(decoded.decode(), text)

    def test_nothing_is_fetched(self):
        html = build.Page().html
        self.assertNotIn("@import", html)
        self.assertEqual(re.findall(r"url\((?!data:)", html), [])

    def test_is_small(self):
        self.assertLess(len(build.Page().html.encode()), 150_000)


if __name__ == "__main__":
    unittest.main()
