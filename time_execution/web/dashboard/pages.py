"""The pages: their names, paths and titles, and the HTML that the server makes of them, before any figure is in it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from time_execution.extra import extra
from time_execution.web.dashboard import static

with extra("dashboard"):
    import jinja2


@dataclass(frozen=True, slots=True)
class Page:
    """A page.

    Attributes:
        name: Of its data and its template.
        path: Where it lies, below the prefix.
        title: Its heading.
        parts: What its script is made of beside that of all pages: ``filter``, ``plot``, ``table``.
        parent: The name of the page that it belongs to; "" for one that the navigation lists.
    """

    name: str
    path: str
    title: str
    parts: tuple[str, ...] = ()
    parent: str = ""

    @property
    def script(self) -> str:
        """The name of its script, which draws what its data say."""
        return "detail" if self.parent else self.name

    @property
    def modules(self) -> list[str]:
        """The files that its script imports, so that a browser asks for all of them at once."""
        return [f"{name}.js" for name in (*_OF_ALL, *self.parts)]


_OF_ALL = ("dom", "keys", "live", "numbers", "page", "state")

PAGES = (
    Page("overview", "", "Overview", ("plot", "table")),
    Page("functions", "functions", "Functions", ("filter", "table")),
    Page("requests", "requests", "Requests", ("filter", "plot", "table")),
    Page("errors", "errors", "Errors", ("filter", "plot")),
    Page("delivery", "delivery", "Delivery"),
    Page("system", "system", "System", ("plot", "table")),
    Page("services", "services", "Services"),
    Page("logs", "logs", "Logs", ("filter", "table")),
    Page("function", "functions/detail", "Function", ("plot", "table"), parent="functions"),
    Page("request", "requests/detail", "Route", ("plot", "table"), parent="requests"),
)
"""All pages, those of the navigation first and in its order."""

_BY_PATH = {page.path: page for page in PAGES}


class Shell:
    """Makes pages: heading, navigation and empty places in the final layout, which the page's script fills.

    Thread-safe. Pages link to each other relatively, so that they work wherever they are mounted.

    Args:
        title: The name of what is watched, shown at the head of each page.
    """

    def __init__(self, title: str) -> None:
        self._title = title

    def page(self, page: Page, *, token: str | None = None) -> str:
        """Return a page.

        Args:
            page: Which.
            token: What the form for leaving carries; None for no such form.
        """
        return self._render(f"{page.name}.html", path=page.path, page=page, token=token)

    def told(self, path: str, heading: str, sentence: str) -> str:
        """Return a page that says one thing.

        Args:
            path: Where it appears, below the prefix.
            heading: What happened, in few words.
            sentence: The same in one sentence.
        """
        return self._render("told.html", path=path, heading=heading, sentence=sentence)

    def login(self, *, token: str, onward: str, problem: str = "") -> str:
        """Return the page that asks for the password.

        Args:
            token: What its form carries.
            onward: Where to go afterwards.
            problem: Why it is shown again; "" at first.
        """
        return self._render("login.html", path="login", token=token, onward=onward, problem=problem)

    def _render(self, name: str, *, path: str, **values: Any) -> str:
        root = "../" * path.count("/") or "./"
        assets = f"{root}static/{static.version()}/"
        return (
            _templates().get_template(name).render(title=self._title, root=root, assets=assets, pages=PAGES, **values)
        )


def find(path: str) -> Page | None:
    """Return the page at a path below the prefix; None where there is none."""
    return _BY_PATH.get(path)


@cache
def _templates() -> jinja2.Environment:
    folder = files(__package__).joinpath("templates")
    return jinja2.Environment(
        loader=jinja2.FunctionLoader(lambda name: folder.joinpath(name).read_text("utf-8")),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
