#!/usr/bin/env python3
"""Puts the status page into one file, and that file into a C++ source.

    build.py [--cc status_page.cc] [--html page.html] [--csp csp.txt] [--depfile status_page.d]

index.html names styles, scripts and one ES module; each is put in its place. Of ES modules this reads what the page
uses and refuses everything else:

    import {a, b} from "./other.mjs";                      // over several lines, too
    export const/function/async function/class name

The Content-Security-Policy allows the styles and scripts by their hashes, and the broker's own API. Python's standard
library is enough; nothing is fetched.
"""

import argparse
import base64
import hashlib
import pathlib
import re
import sys

HERE = pathlib.Path(__file__).resolve().parent

STYLE = re.compile(r'<link rel="stylesheet" href="([^"]+)">')
SCRIPT = re.compile(r'<script src="([^"]+)"></script>')
MODULE = re.compile(r'<script type="module" src="([^"]+)"></script>')
IMPORT = re.compile(r'^import \{([^}]*)\}\s+from "\./([\w.]+)";\n', re.MULTILINE)
EXPORT = re.compile(r"^export ((?:async )?(?:function|class|const)) (\w+)", re.MULTILINE)
LEFT_OVER = re.compile(r"^(?:import|export)\b.*", re.MULTILINE)


class BuildError(Exception):
    """The sources say something that this script does not understand."""


class Page:
    def __init__(self, root=HERE):
        self.files = []
        self._root = root
        self._style_hashes = []
        self._script_hashes = []
        html = self._read("index.html")
        html = STYLE.sub(lambda match: self._style(self._read(match[1])), html)
        html = SCRIPT.sub(lambda match: self._script("<script>", self._read(match[1])), html)
        html = MODULE.sub(lambda match: self._script('<script type="module">', self._bundle(match[1])), html)
        for tag in re.findall(r"<(?:script|link|img)[^>]*\s(?:src|href)=\"([^\"]*)", html):
            if not tag.startswith("data:"):
                raise BuildError(f"index.html still names {tag}")
        self.html = html
        self.csp = "; ".join(
            [
                "default-src 'none'",
                "connect-src 'self'",
                f"script-src {' '.join(self._script_hashes)}",
                f"style-src {' '.join(self._style_hashes)}",
                "img-src data:",
                "base-uri 'none'",
                "form-action 'none'",
                "frame-ancestors 'none'",
                "require-trusted-types-for 'script'",
                "trusted-types 'none'",
            ]
        )

    def _read(self, name):
        path = self._root / name
        self.files.append(path)
        text = path.read_bytes().decode("utf-8")
        if "\r" in text:
            raise BuildError(f"{name} has a carriage return: a browser would hash another text")
        return text

    def _style(self, text):
        if "</style" in text.lower():
            raise BuildError("a style would end early")
        self._style_hashes.append(_hash(text))
        return f"<style>{text}</style>"

    def _script(self, begin, text):
        if re.search(r"</script|<!--", text, re.IGNORECASE):
            raise BuildError("a script would end early: </script or <!-- in it")
        self._script_hashes.append(_hash(text))
        return f"{begin}{text}</script>"

    def _bundle(self, entry):
        """The module with all that it imports, each in a function of its own, after those that it needs."""
        done, on_the_way, parts = {}, [], []

        def add(name):
            if name in on_the_way:
                raise BuildError(f"modules import each other in a circle: {' '.join(on_the_way + [name])}")
            if name in done:
                return
            on_the_way.append(name)
            text = self._read(name)

            def take(match):
                add(match[2])
                wanted = [word.strip() for word in match[1].split(",") if word.strip()]
                missing = [word for word in wanted if word not in done[match[2]]]
                if missing:
                    raise BuildError(f"{name} imports {', '.join(missing)}, which {match[2]} does not export")
                return f"const {{{', '.join(wanted)}}} = {_variable(match[2])};\n"

            text = IMPORT.sub(take, text)
            exports = [match[2] for match in EXPORT.finditer(text)]
            text = EXPORT.sub(r"\1 \2", text)
            if left := LEFT_OVER.search(text):
                raise BuildError(f"{name}: not understood: {left[0]}")
            end = f"return {{{', '.join(exports)}}};\n" if exports else ""
            parts.append(f"// {name}\nconst {_variable(name)} = (() => {{\n{text}{end}}})();\n")
            done[name] = exports
            on_the_way.pop()

        add(entry)
        return "\n" + "\n".join(parts)


def _variable(name):
    return "module_" + re.sub(r"\W", "_", name.removesuffix(".mjs"))


def _hash(text):
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _literals(text):
    """The bytes of a text as C++ string literals, a line each. Octal escapes end by themselves after three digits."""
    lines = []
    for line in text.encode().splitlines(keepends=True):
        for begin in range(0, len(line), 2000):
            lines.append('    "' + "".join(map(_character, line[begin : begin + 2000])) + '"')
    return "\n".join(lines)


def _character(byte):
    character = chr(byte)
    if 32 <= byte < 127 and character not in '"\\?':
        return character
    return f"\\{byte:03o}"


def cc(page):
    return f"""// Generated by metrics/status_page/build.py. Do not edit.
#include "metrics/status_page.h"

namespace sluice {{
namespace {{

constexpr char kHtml[] =
{_literals(page.html)};

constexpr char kCsp[] =
{_literals(page.csp)};

}}  // namespace

std::string_view StatusPageHtml() {{ return {{kHtml, sizeof(kHtml) - 1}}; }}
std::string_view StatusPageCsp() {{ return {{kCsp, sizeof(kCsp) - 1}}; }}

}}  // namespace sluice
"""


def main():
    parser = argparse.ArgumentParser(description="Puts the status page into one file, and that into a C++ source.")
    parser.add_argument("--cc", type=pathlib.Path, help="the C++ source to write")
    parser.add_argument("--html", type=pathlib.Path, help="the page to write")
    parser.add_argument("--csp", type=pathlib.Path, help="the value of Content-Security-Policy to write")
    parser.add_argument("--depfile", type=pathlib.Path, help="what the C++ source was made of, for ninja and make")
    options = parser.parse_args()
    try:
        page = Page()
    except (BuildError, OSError, UnicodeDecodeError) as error:
        print(f"build.py: {error}", file=sys.stderr)
        return 1
    if options.cc:
        options.cc.write_text(cc(page), encoding="ascii")
    if options.html:
        options.html.write_text(page.html, encoding="utf-8", newline="\n")
    if options.csp:
        options.csp.write_text(page.csp + "\n", encoding="ascii")
    if options.depfile:
        names = " ".join(str(path).replace(" ", "\\ ") for path in page.files)
        options.depfile.write_text(f"{options.cc}: {names}\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
