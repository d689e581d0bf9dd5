r"""Draw a terminal with the coloured output of a command as SVG. Needs rich (`pip install --group docs`).

Usage: python scripts/draw_terminal.py [--prompt TEXT] [--output FILE] [--documents FILE | COMMAND …]
Without a command, the output is read from standard input. With --documents it is the compact lines of alerts
in a file that a sensor wrote (--sink file:FILE). The picture of the README, of a live alert:

    python scripts/draw_terminal.py --prompt 'sudo auditsense run' --output docs/alert.svg \
        --documents docs/alert.jsonl

tests/project/test_pictures.py fails when that one is out of date.
"""

from __future__ import annotations

import argparse
import io
import json
import subprocess
import sys
from pathlib import Path

from rich.console import Console
from rich.terminal_theme import SVG_EXPORT_THEME
from rich.text import Text

from auditsense.cli.style import Color, painter
from auditsense.sinks.format import compact

COLUMNS = 120
FONTS = "ui-monospace, 'DejaVu Sans Mono', Menlo, Consolas, monospace"
# Rich's own format loads its font from a web server; browsers do not, inside <img>.
FORMAT = f"""\
<svg viewBox="0 0 {{width}} {{height}}" xmlns="http://www.w3.org/2000/svg">
<style>
.{{unique_id}}-matrix {{{{ font: {{char_height}}px/{{line_height}}px {FONTS}; }}}}
.{{unique_id}}-title {{{{ font: bold 18px sans-serif; }}}}
{{styles}}
</style>
<defs>
<clipPath id="{{unique_id}}-clip-terminal">
<rect x="0" y="0" width="{{terminal_width}}" height="{{terminal_height}}"/>
</clipPath>
{{lines}}
</defs>
{{chrome}}
<g transform="translate({{terminal_x}}, {{terminal_y}})" clip-path="url(#{{unique_id}}-clip-terminal)">
{{backgrounds}}
<g class="{{unique_id}}-matrix">
{{matrix}}
</g>
</g>
</svg>
"""


def draw(output: str, prompt: str = "", title: str = "") -> str:
    """Return a terminal that shows coloured text, after a prompt with a command if there is one."""
    console = Console(
        width=COLUMNS, record=True, file=io.StringIO(), force_terminal=True, color_system="truecolor"
    )
    if prompt:
        console.print(Text.assemble(("$ ", "green"), (prompt, "bold")))
    console.print(Text.from_ansi(output))
    picture = console.export_svg(
        title=title, theme=SVG_EXPORT_THEME, code_format=FORMAT, unique_id="terminal"
    )
    return "".join(f"{line.strip()}\n" for line in picture.splitlines() if line.strip())


def compact_lines(documents: Path) -> str:
    """Return what a terminal shows of the documents of a file."""
    paint = painter(None, Color.ALWAYS)
    lines = documents.read_text(encoding="utf-8").splitlines()
    return "\n".join(compact(json.loads(line), paint) for line in lines)


def main() -> int:
    """Draw what the command line says; return the exit code of the command."""
    parser = argparse.ArgumentParser(description="Draw the output of a command as SVG.")
    parser.add_argument("--prompt", default="", help="the command line to show; default: none")
    parser.add_argument("--title", default="", help="the title of the window")
    parser.add_argument("--output", type=Path, help="the file to write; default: standard output")
    parser.add_argument("--documents", type=Path, help="JSON lines of alerts to show as compact lines")
    parser.add_argument("command", nargs=argparse.REMAINDER, help="default: read standard input")
    arguments = parser.parse_args()
    code = 0
    if arguments.documents:
        output = compact_lines(arguments.documents)
    elif arguments.command:
        ended = subprocess.run(arguments.command, stdout=subprocess.PIPE, text=True, check=False)
        output, code = ended.stdout, ended.returncode
    else:
        output = sys.stdin.read()
    picture = draw(output.rstrip("\n"), arguments.prompt, arguments.title)
    if arguments.output:
        arguments.output.write_text(picture, encoding="utf-8")
    else:
        print(picture, end="")
    return code


if __name__ == "__main__":
    sys.exit(main())
