"""A real program, measured two ways: docutils turns a document into HTML, unmodified and with decorators.

    python examples/demo.py [document.rst]

Both ways store metrics in SQLite, and both reports are printed. ``make demo`` runs this on the README.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from time_execution import settings, shutdown, time_execution
from time_execution.backends.sqlite import SQLiteBackend
from time_execution.backends.threaded import ThreadedBackend
from time_execution.cli import main

ROOT = Path(__file__).parent.parent
# Colours in code need a package that docutils does without, saying so at each block of code.
PLAIN = {"syntax_highlight": "none"}


def convert_decorated(document: Path, page: Path, database: Path) -> None:
    """Turn the document into HTML with the functions that matter decorated."""
    from docutils import core, nodes, readers
    from docutils.parsers import rst
    from docutils.transforms import Transformer
    from docutils.writers import html5_polyglot

    settings.configure(backends=[ThreadedBackend(SQLiteBackend(database))])

    # What a program's own code would have as `@time_execution` above the function.
    core.publish_file = time_execution(core.publish_file)
    rst.Parser.parse = time_execution(rst.Parser.parse)
    Transformer.apply_transforms = time_execution(Transformer.apply_transforms)
    nodes.Node.walkabout = time_execution(nodes.Node.walkabout)
    # All methods of a class, by pattern.
    time_execution.methods(readers.Reader)
    time_execution.methods(html5_polyglot.HTMLTranslator, "visit_*")

    core.publish_file(
        source_path=str(document),
        destination_path=str(page),
        writer=html5_polyglot.Writer(),
        settings_overrides=PLAIN,
    )
    shutdown()


def convert_unmodified(document: Path, page: Path, database: Path) -> None:
    """Run ``python -m docutils`` as it is, under ``time-execution run``."""
    measured = ["run", "--db", str(database), "--pattern", "docutils.*"]
    program = ["-m", "docutils", "--syntax-highlight=none", str(document), str(page)]
    subprocess.run([sys.executable, "-m", "time_execution", *measured, *program], check=True)


def say(text: str) -> None:
    print(f"\n{text}\n", flush=True)


def demo(document: Path) -> int:
    with tempfile.TemporaryDirectory(prefix="time-execution-demo-") as name:
        folder = Path(name)
        decorated, unmodified = folder / "decorated.db", folder / "unmodified.db"

        say(f"1. Decorated: docutils turns {document.name} into HTML, with a decorator on the functions that matter.")
        convert_decorated(document, folder / "decorated.html", decorated)
        main(["report", str(decorated), "--limit", "12"])
        say(
            "publish_file is the whole conversion; below it, what parsing, transforms and writing take of it. "
            "Node.walkabout calls itself for each child, so its total counts the same time once a level."
        )

        say("2. Unmodified: the same by 'python -m docutils', each of its functions timed without a change to it.")
        convert_unmodified(document, folder / "unmodified.html", unmodified)
        main(["report", str(unmodified), "--limit", "12"])
        say(
            "main is the whole program, imports included: get_writer_class and the like load their module. Below it, "
            "the same functions as above, and all others that docutils went through; 'report --pattern' picks some."
        )
        same = (folder / "decorated.html").stat().st_size > 0 and (folder / "unmodified.html").stat().st_size > 0
    return 0 if same else 1


if __name__ == "__main__":
    sys.exit(demo(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "README.rst"))
