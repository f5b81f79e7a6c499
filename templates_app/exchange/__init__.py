"""Templates in and out: as files, as one zip, as JSON.

A template is a folder: `template.json` says what it is and, by language, its subject, preheader
and format; beside it stand the bodies, `default.html` (or `.mjml`) and `default.txt` for the
default text, `pt-BR.html` and so on for others. Many templates are many such folders.

    read_zip(data) / read_folder(path) -> files      refuse what is no such thing, or too much
    templates_in(files) -> list[TemplateData]
    templates_from(json object) -> list[TemplateData]
    import_templates(list, ImportOptions(…)) -> list[Imported]     all or nothing
    exported(template, number) -> TemplateData
    files_of(list[TemplateData]) -> files;  write_zip(files);  write_folder(path, files)

What is exported and read again is the same, to the octet.
"""

from templates_app.exchange.archive import Files, read_zip, write_zip
from templates_app.exchange.files import files_of, templates_in
from templates_app.exchange.folder import read_folder, write_folder
from templates_app.exchange.shapes import TemplateData, TextData, as_json, templates_from
from templates_app.exchange.transfer import Imported, ImportOptions, exported, import_templates

__all__ = [
    "Files",
    "ImportOptions",
    "Imported",
    "TemplateData",
    "TextData",
    "as_json",
    "exported",
    "files_of",
    "import_templates",
    "read_folder",
    "read_zip",
    "templates_from",
    "templates_in",
    "write_folder",
    "write_zip",
]
