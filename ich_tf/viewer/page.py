"""HTML pages that hold everything they show and ask a network for nothing."""

import base64
import hashlib
import pathlib
import re
import typing

if typing.TYPE_CHECKING:
    import jinja2
    import markupsafe

TEMPLATES = pathlib.Path(__file__).with_name("templates")


def render(template: str, folder: pathlib.Path, **content: typing.Any) -> bytes:
    """Fill a template; every text is escaped, and its filter `code` sets commands.

    The template extends `base.html`, whose content security policy allows no address
    but data within the page, and no script but the viewer's, by its checksum.

    Args:
        template: Name of the template.
        folder: Folder of the template, searched before the viewer's own templates.
        **content: What the template shows.
    """
    import markupsafe

    script = (TEMPLATES / "viewer.js").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    text = (
        _environment(folder)
        .get_template(template)
        .render(
            **content,
            style=markupsafe.Markup((TEMPLATES / "page.css").read_text("utf-8")),
            script=markupsafe.Markup(script),
            script_hash=f"sha256-{digest}",
        )
    )
    # A file name may hold bytes that are no text.
    return text.encode(errors="replace")


def _environment(folder: pathlib.Path) -> "jinja2.Environment":
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader([folder, TEMPLATES]),
        autoescape=True,
    )
    environment.filters["code"] = _code
    # A case opens with its first view; `tojson` sorts by default.
    environment.policies["json.dumps_kwargs"] = {"sort_keys": False}
    return environment


def _code(text: str) -> "markupsafe.Markup":
    """A text, escaped, with what stands between backticks as code."""
    import markupsafe

    escaped = str(markupsafe.escape(text))
    return markupsafe.Markup(re.sub("`([^`]+)`", r"<code>\1</code>", escaped))
