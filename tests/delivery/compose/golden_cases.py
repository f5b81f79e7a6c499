"""The mails under `golden/`; run as a module to write them anew."""

from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

from delivery.compose import (
    AttachmentSource,
    ContentSource,
    MailFields,
    compile_content,
    encode_file,
)
from mailservice.core.addresses import Address

FOLDER = Path(__file__).parent / "golden"
ID = UUID("01934f6e-7c00-7000-8000-0123456789ab")
DATE = datetime(2026, 11, 21, 9, 30, 15, tzinfo=UTC)
ANN = Address("ann@customers.example", "Ann Example")

HTML = """<html><body><h1>Thank you, {{ name }}</h1>
<table>{% for line in lines %}<tr><td>{{ line.name }}</td><td>{{ line.price }}</td></tr>
{% endfor %}</table>
<p><a href="https://shop.example/o?id={{ id }}&amp;v=1">Your order</a></p>
</body></html>
"""
PIXEL = bytes.fromhex(
    "47494638396101000100800000000000ffffff21f90401000000002c00000000010001000002"
)

CASES = {
    "text": (
        ContentSource(
            subject="A subject long enough to be folded because it has more than 76 columns",
            html="",
            text="Hello Ann,\n\n.a line that starts with a dot\nFrom here on = nothing, \n"
            + "x" * 90
            + "\n",
            from_email="shop@shop.example",
            from_name="The Shop",
        ),
        MailFields(ID, DATE, (ANN,)),
    ),
    "alternative": (
        ContentSource(
            subject="Your order {{ id }}",
            html=HTML,
            text="",
            from_email="shop@shop.example",
            from_name="Shop, Inc.",
            reply_to=(Address("help@shop.example", "Help"),),
            headers={"X-Campaign": "autumn"},
            is_template=True,
        ),
        MailFields(
            ID,
            DATE,
            (ANN, Address("bob@customers.example")),
            (Address("carol@customers.example", 'Carol "C." Example'),),
            {
                "id": 17,
                "name": "Ann & Bob",
                "lines": [{"name": "Tea", "price": "4.50"}, {"name": "Mug", "price": "9.00"}],
            },
            {"List-Unsubscribe": "<https://shop.example/u/" + "t" * 60 + ">", "X-Order": "17"},
        ),
    ),
    "files": (
        ContentSource(
            subject="Invoice",
            html='<p>Hello</p><img src="cid:logo@shop">\n',
            text="Hello\n",
            from_email="shop@shop.example",
            from_name="The Shop",
            attachments=(
                AttachmentSource(
                    "logo.gif", "image/gif", "inline", "logo@shop", lambda: encode_file([PIXEL])
                ),
                AttachmentSource(
                    "Rechnung f\u00fcr \u4f60.pdf",
                    "application/pdf",
                    "attachment",
                    "",
                    lambda: encode_file([b"%PDF-" * 40]),
                ),
            ),
        ),
        MailFields(ID, DATE, (ANN,)),
    ),
    "unicode": (
        ContentSource(
            subject="\u041f\u0440\u0438\u0432\u0435\u0442 \U0001f600 \u05e9\u05dc\u05d5\u05dd, "
            * 3,
            html="<p dir=rtl>" + "\u05e9\u05dc\u05d5\u05dd " * 3 + "</p>\n",
            text="\u4f60\u597d\uff0c\u4e16\u754c\n",
            from_email="laden@b\u00fccher.example",
            from_name="B\u00fccher, Tee & mehr",
        ),
        MailFields(
            ID,
            DATE,
            (Address("j\u00f6rg@b\u00fccher.example", "J\u00f6rg \U0001f468\u200d\U0001f4bb"),),
        ),
    ),
    "hidden": (
        ContentSource("To all", "", "Hello\n", "shop@shop.example", ""),
        MailFields(ID, DATE),
    ),
}


def write() -> None:
    """Write all files anew."""
    for name, (source, fields) in CASES.items():
        (FOLDER / f"{name}.eml").write_bytes(bytes(compile_content(source).compose(fields)))


if __name__ == "__main__":
    write()
