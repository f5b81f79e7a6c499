"""The mail that every benchmark sends: its templates, and the variables of one recipient.

5.1 KB of HTML with ten variables and a ten-item loop, 0.5 KB of text. The templates mean the same
to Liquid and to Django, so that peers render the very mail we do. Standard library only.
"""

from __future__ import annotations

SENDER = "shop@shop.example"
SUBJECT = "Your order {{ order }}"
NAMES = ("first", "last", "city", "order", "total", "date", "shop", "phone", "agent", "link")
PARAGRAPH = (
    '<p style="margin:0 0 12px;font-size:14px;line-height:20px;color:#333">Dear {{ first }} '
    "{{ last }}, thank you for your order with us. We have packed it with care and it leaves our "
    "warehouse today.</p>\n"
)
LOOP = (
    "{% for item in items %}"
    '<tr><td style="padding:4px 8px">{{ item.name }}</td><td>{{ item.count }}</td>'
    "<td>{{ item.price }}</td></tr>\n"
    "{% endfor %}"
)
OUTPUTS = "\n".join(f"<p>{name}: {{{{ {name} }}}}</p>" for name in NAMES)
TEXT = (
    "Dear {{ first }} {{ last }},\n\n" + "Thank you for your order with us.\n" * 13 + "{{ link }}\n"
)


def html(*, loop: bool) -> str:
    """Return an HTML template whose mail is about 5.1 KB, with or without a loop."""
    fixed = PARAGRAPH.replace("{{ first }} {{ last }}", "customer")
    table = f"<table>{LOOP if loop else ''}</table>"
    padding = fixed * (22 if loop else 25)
    return f"<html><body>{padding}{OUTPUTS}{table}</body></html>"


def context(number: int) -> dict[str, object]:
    """Return the variables of one recipient."""
    values: dict[str, object] = {name: f"{name} {number}" for name in NAMES}
    values["items"] = [
        {"name": f"Article {index}", "count": index, "price": "12.50"} for index in range(10)
    ]
    return values


def recipient(number: int) -> str:
    """Return the address of one recipient."""
    return f"customer{number}@customers.example"
