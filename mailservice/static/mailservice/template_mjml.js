/* MJML in GrapesJS without loss: attributes go out as they came in, and what the editor does not
   know is drawn in its place as a piece of its own. A plugin for after grapesjs-mjml. */
(() => {
  "use strict";

  const ELEMENTS = [
    "mjml", "mj-body", "mj-wrapper", "mj-section", "mj-group", "mj-column", "mj-hero", "mj-text",
    "mj-button", "mj-image", "mj-divider", "mj-spacer", "mj-social", "mj-social-element",
    "mj-navbar", "mj-navbar-link",
  ];
  /* Empty there means something, elsewhere nothing. */
  const MAY_BE_EMPTY = new Set(["alt"]);
  const NO_PICTURE =
    "data:image/svg+xml," +
    encodeURIComponent(
      "<svg xmlns='http://www.w3.org/2000/svg' width='600' height='220'><rect width='600' height='220' fill='#e2e8f0'/>" +
      "<text x='300' y='118' font-family='sans-serif' font-size='18' fill='#64748b' text-anchor='middle'>Picture: set its address</text></svg>",
    );

  const escaped = (value) =>
    String(value).replace(/&/g, "&amp;").replace(/"/g, "&quot;").replace(/</g, "&lt;").replace(/>/g, "&gt;");

  /* A picture whose address is a variable is drawn with the sample data. */
  function picture(address, sample) {
    const [, path] = /^\s*\{\{-?\s*([\w.-]+)/.exec(address ?? "") ?? [];
    const found = path ? path.split(".").reduce((value, name) => value?.[name], sample) : address;
    const isShown = typeof found === "string" && found && !found.includes("{{") && !found.includes("{%");
    return isShown ? (path ? escaped(found) : found) : NO_PICTURE;
  }

  /* `data` is what the page says of the draft: kept pieces, and attributes from the head. */
  window.losslessMjml = (data) => (editor, { opt, coreMjmlModel }) => {
    const plainParser = opt.mjmlParser;
    const head = data.attributes ? `<mj-head>${data.attributes}</mj-head>` : "";
    /* Parts are drawn one by one: each with what the head says of its kind. */
    opt.mjmlParser = (mjml, options) => plainParser(mjml.replace("<mjml>", `<mjml>${head}`), options);

    const model = {
      /* The plugin writes defaults into the attributes, and takes what equals them out again. */
      init() {
        const attributes = { ...this.get("attributes") };
        this.set("attributes", attributes);
        this.set("style", { ...attributes });
        this.listenTo(this, "change:style", this.handleStyleChange);
        this.listenTo(this, "change:attributes", this.handleAttributeChange);
        this.listenTo(this, "change:src", () => this.addAttributes({ src: this.get("src") }));
      },

      getMjmlAttributes() {
        const found = {};
        for (const [name, value] of Object.entries(this.getAttrToHTML())) found[name] = escaped(value);
        if (this.get("tagName") === "mj-image") found.src = picture(found.src, data.sample);
        return found;
      },

      getAttrToHTML() {
        const found = {};
        for (const [name, value] of Object.entries(this.get("attributes") || {})) {
          if (name === "style" || name === "id" || name.startsWith("data-gjs") || value == null) continue;
          if (value === "" && !MAY_BE_EMPTY.has(name)) continue;
          found[name] = value;
        }
        return found;
      },

      toHTML(options) {
        const tag = this.get("tagName");
        const attributes = Object.entries(this.getAttrToHTML())
          .map(([name, value]) => ` ${name}="${escaped(value)}"`).join("");
        const inner = this.components().map((one) => one.toHTML(options)).join("");
        return `<${tag}${attributes}>${this.get("content") ?? ""}${inner}</${tag}>`;
      },
    };
    for (const type of ELEMENTS) {
      const known = editor.Components.getType(type);
      if (!known) continue;
      const mine = { ...model };
      /* Pictures know when to leave a width out. */
      mine.handleStyleChange = coreMjmlModel.handleStyleChange;
      editor.Components.addType(type, { model: mine });
    }

    for (const [type, element] of [["ms-row", "tr"], ["ms-block", "div"]])
      addKept(editor, type, element, data, opt);
  };

  function addKept(editor, type, element, data, opt) {
    const isRow = type === "ms-row";
    editor.Components.addType(type, {
      isComponent: (one) => (one.tagName || "").toLowerCase() === type,
      model: {
        defaults: {
          droppable: false, editable: false, stylable: false, traits: [],
          draggable: (isRow ? ["mj-column", "mj-hero"] : ["mj-body", "mj-wrapper", "mj-section", "mj-group"])
            .map((one) => `[data-gjs-type="${one}"]`).join(", "),
        },
        init() {
          const label = data.kept[Number(this.getAttributes().n)]?.label;
          this.set({ name: label || "Hidden code", layerable: Boolean(label), copyable: true });
        },
        toHTML() {
          return `<${type} n="${escaped(this.getAttributes().n)}"></${type}>`;
        },
      },
      view: {
        tagName: element,
        onRender({ el, model }) {
          const kept = data.kept[Number(model.getAttributes().n)] ?? { label: "", shown: "" };
          el.classList.add("ms-kept");
          if (!kept.label) {
            el.style.display = "none";
            return;
          }
          const cell = isRow ? document.createElement("td") : el;
          if (isRow) el.append(cell);
          const note = document.createElement("div");
          note.className = "ms-kept-note";
          note.textContent = `${kept.label} · edited in the source`;
          const inner = document.createElement("div");
          inner.className = "ms-kept-inner";
          inner.innerHTML = drawn(kept.shown, isRow, opt);
          cell.append(note, inner);
        },
      },
    });
  }

  function drawn(shown, isRow, opt) {
    const isSection = /^\s*<mj-(section|wrapper|hero|raw)/.test(shown);
    const isColumn = /^\s*<mj-(column|group)/.test(shown);
    const row = isColumn ? shown : `<mj-column>${shown}</mj-column>`;
    const body = !isRow && isSection ? shown : `<mj-section>${row}</mj-section>`;
    try {
      const { html } = opt.mjmlParser(`<mjml><mj-body>${body}</mj-body></mjml>`, {});
      return new DOMParser().parseFromString(html, "text/html").body.innerHTML;
    } catch {
      return "";
    }
  }
})();
