/* What the visual editor offers: blocks to drag, settings of each part, variables to insert. */
(() => {
  "use strict";

  const icon = (name) => `<span class="material-symbols-outlined">${name}</span>`;
  const text = (words, more = "") => `<mj-text${more}>${words}</mj-text>`;
  const columns = (...widths) =>
    `<mj-section>${widths.map((width) => `<mj-column${width ? ` width="${width}"` : ""}>${text("Write here.")}</mj-column>`).join("")}</mj-section>`;
  const FOOTER = 'You get this mail because you subscribed. <a href="{{ unsubscribe_url }}">Unsubscribe</a>';

  const BLOCKS = [
    ["text", "Content", "Text", "notes", text("Write here.")],
    ["heading", "Content", "Heading", "title", text('<h2 style="margin:0">A heading</h2>', ' font-size="24px" line-height="1.3" font-weight="700"')],
    ["button", "Content", "Button", "smart_button", '<mj-button href="https://">Read on</mj-button>'],
    ["image", "Content", "Picture", "image", '<mj-image alt=""></mj-image>'],
    ["divider", "Content", "Line", "horizontal_rule", '<mj-divider border-width="1px" border-color="#d5dcdb"></mj-divider>'],
    ["spacer", "Content", "Space", "height", '<mj-spacer height="24px"></mj-spacer>'],
    ["columns-1", "Rows", "One column", "crop_5_4", columns("")],
    ["columns-2", "Rows", "Two columns", "view_column_2", columns("", "")],
    ["columns-3", "Rows", "Three columns", "view_week", columns("", "", "")],
    ["columns-12", "Rows", "Narrow and wide", "view_sidebar", columns("33%", "67%")],
    ["article", "Ready-made", "Article", "article",
      `<mj-section><mj-column><mj-image alt=""></mj-image>${text("A headline", ' font-size="22px" font-weight="700"')}${text("What it is about, in a sentence or two.")}<mj-button href="https://" align="left">Read on</mj-button></mj-column></mj-section>`],
    ["greeting", "Ready-made", "Greeting", "waving_hand", text('Hello {{ name | default: "there" }},')],
    ["footer", "Ready-made", "Footer", "call_to_action", `<mj-section><mj-column>${text(FOOTER, ' align="center" font-size="13px" color="#64748b"')}</mj-column></mj-section>`],
  ];

  const colour = (property, name) => ({ type: "color", property, name });
  const words = (property, name, placeholder = "") => ({ type: "text", property, name, placeholder, full: true });
  const choice = (property, name, values) => ({
    type: "select", property, name, options: [{ id: "", label: "as usual" }, ...values.map((id) => ({ id, label: id }))],
  });
  const SECTORS = [
    ["Text", [
      colour("color", "Colour"),
      words("font-size", "Size", "16px"),
      choice("font-weight", "Weight", ["400", "500", "600", "700"]),
      choice("font-style", "Slant", ["normal", "italic"]),
      words("line-height", "Line height", "1.5"),
      words("letter-spacing", "Letter spacing", "0"),
      words("font-family", "Font", "Arial, sans-serif"),
      choice("text-transform", "Letters", ["none", "uppercase", "lowercase", "capitalize"]),
    ]],
    ["Place", [
      choice("align", "Align", ["left", "center", "right", "justify"]),
      choice("text-align", "Align", ["left", "center", "right"]),
      choice("vertical-align", "Height in the row", ["top", "middle", "bottom"]),
      words("padding", "Space around", "10px 25px"),
      words("inner-padding", "Space inside", "10px 25px"),
      words("width", "Width", "600px or 50%"),
      words("height", "Height", "auto"),
    ]],
    ["Background and edges", [
      colour("background-color", "Background"),
      colour("container-background-color", "Background around"),
      words("background-url", "Picture behind", "https://…"),
      words("border", "Edge", "1px solid #d5dcdb"),
      words("border-radius", "Round corners", "8px"),
      words("border-width", "Thickness", "1px"),
      colour("border-color", "Line colour"),
      choice("border-style", "Line", ["solid", "dashed", "dotted"]),
    ]],
  ];
  const FOR_TEXT = ["color", "font-size", "font-weight", "font-style", "line-height", "letter-spacing", "font-family", "text-transform", "align", "padding", "container-background-color"];
  const STYLABLE = {
    "mj-body": ["width", "background-color"],
    "mj-wrapper": ["text-align", "padding", "background-color", "background-url", "border", "border-radius"],
    "mj-section": ["text-align", "padding", "background-color", "background-url", "border", "border-radius"],
    "mj-group": ["width", "vertical-align", "background-color"],
    "mj-column": ["width", "vertical-align", "padding", "background-color", "border", "border-radius"],
    "mj-hero": ["height", "padding", "vertical-align", "background-color", "background-url", "border-radius"],
    "mj-text": FOR_TEXT,
    "mj-button": [...FOR_TEXT, "inner-padding", "width", "height", "background-color", "border", "border-radius"],
    "mj-image": ["align", "padding", "width", "height", "border", "border-radius", "container-background-color"],
    "mj-divider": ["border-width", "border-color", "border-style", "width", "padding", "container-background-color"],
    "mj-spacer": ["height", "container-background-color"],
    "mj-social": ["align", "padding", "color", "font-size", "container-background-color"],
    "mj-navbar": ["align"],
  };
  const trait = (name, label, placeholder = "") => ({ type: "text", name, label, placeholder });
  const TRAITS = {
    "mj-button": [trait("href", "Link", "https://…")],
    "mj-image": [trait("src", "Picture", "https://…"), trait("alt", "Says, for those who do not see it"), trait("href", "Link", "https://…")],
    "mj-social-element": [trait("name", "Network"), trait("href", "Link", "https://…"), trait("src", "Picture", "https://…")],
    "mj-navbar-link": [trait("href", "Link", "https://…")],
  };
  const NAMES = {
    "mj-body": "Mail", "mj-wrapper": "Frame", "mj-section": "Row", "mj-group": "Columns kept together",
    "mj-column": "Column", "mj-hero": "Banner", "mj-text": "Text", "mj-button": "Button", "mj-image": "Picture",
    "mj-divider": "Line", "mj-spacer": "Space", "mj-social": "Social links", "mj-social-element": "Social link",
    "mj-navbar": "Navigation", "mj-navbar-link": "Navigation link",
  };

  /* A click puts a block below what is selected: for fingers and keyboards. */
  function place(block, editor) {
    const content = block.get("content");
    const isRow = content.startsWith("<mj-section");
    const holders = isRow ? ["mj-body", "mj-wrapper"] : ["mj-column", "mj-hero"];
    const root = editor.getWrapper();
    let below = editor.getSelected();
    while (below && !holders.includes(below.parent()?.get("type"))) below = below.parent();
    const selected = editor.getSelected();
    const holder = !isRow && holders.includes(selected?.get("type")) ? selected
      : below?.parent() ?? root.findType(isRow ? "mj-body" : "mj-column").at(-1);
    if (!holder) return;
    const at = below && below.parent() === holder ? below.index() + 1 : holder.components().length;
    const [added] = holder.append(content, { at });
    editor.select(added);
    added.view?.el?.scrollIntoView({ block: "nearest", behavior: "smooth" });
  }

  /* Plugin for GrapesJS, after grapesjs-mjml. */
  window.templateBlocks = (editor) => {
    editor.Blocks.getAll().reset();
    for (const [id, category, label, symbol, content] of BLOCKS)
      editor.Blocks.add(id, { label, category, media: icon(symbol), attributes: { title: label }, content, select: true, onClick: place });
    for (const [type, name] of Object.entries(NAMES))
      if (editor.Components.getType(type))
        editor.Components.addType(type, {
          model: { defaults: { name, stylable: STYLABLE[type] ?? [], traits: TRAITS[type] ?? [] } },
        });
    editor.onReady(() => {
      editor.StyleManager.getSectors().reset();
      for (const [name, properties] of SECTORS)
        editor.StyleManager.addSector(name, { name, open: true, properties });
    });
  };

  /* Names of the sample data, as they are written in a text. */
  window.templateVariables = (value, path = "", found = []) => {
    if (Array.isArray(value) || found.length > 200) return found;
    for (const [name, inner] of Object.entries(value ?? {})) {
      if (!/^[A-Za-z_][\w-]*$/.test(name)) continue;
      if (inner !== null && typeof inner === "object") window.templateVariables(inner, `${path}${name}.`, found);
      else found.push(path + name);
    }
    return found;
  };
})();
