"""Interactive pages: one HTML file whose style, script and data lie in it and which can ask for nothing.

Notes
-----
A page is one template, style and script; the Content-Security-Policy holds their hashes, so inline
``style=`` and ``on...=`` attributes do not work. Tests speak the DevTools protocol over a pipe
(``tests/report/browser.py``): no package, no port. A canvas that gets its size while the page is printed is
printed too small, so pictures for printing are sized when the page is loaded.
"""

from __future__ import annotations

from base64 import b64encode
from hashlib import sha256
from importlib.resources import files

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from cmrseg.report.flags import LEVELS
from cmrseg.report.html import data_uri, format_cell

# Files whose text makes the one script of a page, in their order.
SCRIPTS = {
    "study": ("outlines.js", "slices.js", "curve.js", "study.js"),
    "cohort": ("cohort.js",),
    "failed": (),
    "review": ("outlines.js", "slices.js", "review.js"),
    "reviews": (),
}
# Files whose text makes the one style of a page, where that is not base.css with its own.
STYLES = {
    "review": ("base.css", "study.css", "review.css"),
    "reviews": ("base.css", "study.css", "review.css"),
}


def render_page(name: str, data: object, *, may_ask: bool = False, **shown: object) -> str:
    """Render ``templates/<name>.html.j2`` with its style and script as one file.

    Parameters
    ----------
    name
        Of the page: there are ``<name>.html.j2`` and ``<name>.css`` (or its `STYLES`), and its `SCRIPTS`.
    data
        What the script reads, anything that JSON can say (no ``nan``).
    may_ask
        Whether the script may ask the server that the page came from.
    **shown
        Variables of the template.

    Returns
    -------
    HTML text; everything that comes from data is escaped. Its Content-Security-Policy allows this one
    style, this one script and pictures that hold their own bytes: nothing else can run or, unless it
    ``may_ask``, be asked for.
    """
    environment = Environment(
        loader=PackageLoader("cmrseg.report"), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    environment.filters.update(cell=format_cell, data_uri=data_uri)
    environment.policies["json.dumps_kwargs"] = {"allow_nan": False, "separators": (",", ":")}
    style = "".join(map(_asset, STYLES.get(name, ("base.css", f"{name}.css"))))
    script = "".join(map(_asset, SCRIPTS[name]))
    asks = "connect-src 'self'; " if may_ask else ""
    policy = (
        f"default-src 'none'; img-src data:; style-src {_hash(style)}; script-src {_hash(script)}; "
        f"{asks}base-uri 'none'; form-action 'none'"
    )
    template = environment.get_template(f"{name}.html.j2")
    return template.render(
        style=Markup(style), script=Markup(script), policy=policy, data=data, levels=LEVELS, **shown
    )


def _asset(name: str) -> str:
    """Text of a file that lies beside the templates."""
    return (files("cmrseg.report") / "templates" / name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    """How a Content-Security-Policy names the text of an inline style or script."""
    return f"'sha256-{b64encode(sha256(text.encode()).digest()).decode('ascii')}'"
