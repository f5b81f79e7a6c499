"""MJML for the visual editor and back, so that nothing an author wrote is lost on the way.

The editor in the browser knows sections, columns and what stands in them, as HTML knows elements.
What it does not know (loops, conditions, partials, raw HTML, tables, comments) travels as a number
and comes back as it was written; so does everything around the body.

    to_canvas(source) -> Canvas            raises TemplateSyntaxProblem saying what cannot be shown
    from_canvas(markup, source) -> source  with what was changed in the browser
    difference(sent, returned) -> str      what the browser changed on its own, empty for nothing
"""

from templates_app.admin.canvas.closing import from_canvas
from templates_app.admin.canvas.opening import Canvas, Kept, to_canvas
from templates_app.admin.canvas.same import difference

__all__ = ["Canvas", "Kept", "difference", "from_canvas", "to_canvas"]
