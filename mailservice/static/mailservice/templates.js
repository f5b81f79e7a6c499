/* The source editor of a template: highlighting, completion, marks where something is wrong. */
(() => {
  "use strict";

  const MAX_COMPLETIONS = 500;
  const PARTS = ["html", "text", "sample"];
  const LEVELS = { error: "error", warning: "warning", info: "info" };

  const form = document.getElementById("te");
  if (!form || !window.ace) return;
  const editors = {};

  /* --- source --- */

  const isDark = () => document.documentElement.classList.contains("dark");
  const theme = () => (isDark() ? "ace/theme/github_dark" : "ace/theme/github_light_default");

  function startAce(name) {
    const area = form.elements[name];
    const pane = document.createElement("div");
    pane.className = "te-ace";
    area.hidden = true;
    area.after(pane);
    const editor = ace.edit(pane, {
      mode: `ace/mode/${area.dataset.mode}`,
      theme: theme(),
      value: area.value,
      readOnly: false,
      useSoftTabs: true,
      tabSize: 2,
      wrap: true,
      indentedSoftWrap: false,
      showPrintMargin: false,
      fontSize: 13,
      placeholder: area.placeholder,
      scrollPastEnd: 0.3,
      enableBasicAutocompletion: name !== "sample" && [completer],
      enableLiveAutocompletion: name !== "sample" && [completer],
    });
    editor.commands.addCommand({
      name: "leave",
      bindKey: { win: "Esc", mac: "Esc" },
      exec: (one) => one.blur(),
    });
    editor.textInput.getElement().setAttribute("aria-label", `Source: ${name}`);
    editor.session.on("change", () => {
      area.value = editor.getValue();
      touched();
    });
    editors[name] = editor;
  }

  /* --- completion: variables, where Liquid stands --- */

  function paths(value, path, found) {
    if (Array.isArray(value)) return;
    for (const [name, inner] of Object.entries(value ?? {})) {
      if (!/^[A-Za-z_][\w-]*$/.test(name) || found.size > MAX_COMPLETIONS) continue;
      found.set(path + name, typeof inner === "object" ? "" : String(inner).slice(0, 30));
      if (typeof inner === "object") paths(inner, `${path}${name}.`, found);
    }
  }

  function variables() {
    const found = new Map();
    for (const one of document.querySelectorAll(".te-variables code"))
      if (!one.textContent.includes("[]")) found.set(one.textContent, "");
    try {
      paths(JSON.parse(editors.sample.getValue() || "{}"), "", found);
    } catch {
      /* Half-written JSON: what the preview read before is enough. */
    }
    return found;
  }

  const completer = {
    identifierRegexps: [/[\w.-]/],
    getCompletions(editor, session, position, prefix, answer) {
      const before = session.getLine(position.row).slice(0, position.column);
      const isLiquid = Math.max(before.lastIndexOf("{{"), before.lastIndexOf("{%")) >
        Math.max(before.lastIndexOf("}}"), before.lastIndexOf("%}"));
      if (!isLiquid) return answer(null, []);
      return answer(null, [...variables()].map(([name, shown]) => ({
        value: name, caption: name, meta: shown || "variable",
      })));
    },
  };

  function showPart(name) {
    for (const part of form.querySelectorAll(".te-part")) part.hidden = part.dataset.field !== name;
    for (const tab of form.querySelectorAll(".te-tabs [data-part]")) {
      const isActive = tab.dataset.part === name;
      tab.classList.toggle("is-active", isActive);
      tab.setAttribute("aria-selected", String(isActive));
    }
    editors[name].resize();
  }

  function goTo(field, line, column) {
    if (!PARTS.includes(field)) {
      form.elements[field]?.focus();
      return;
    }
    showPart(field);
    if (line > 0) editors[field].gotoLine(line, column - 1, true);
    editors[field].focus();
  }

  /* --- marks --- */

  function remarks() {
    return [...document.querySelectorAll("#look [data-problem], #look [data-finding]")].map((one) => ({
      field: one.dataset.field,
      line: Number(one.dataset.line),
      column: Number(one.dataset.column),
      text: one.dataset.message,
      level: one.hasAttribute("data-problem") ? "error" : LEVELS[one.dataset.severity],
      isProblem: one.hasAttribute("data-problem"),
    }));
  }

  function mark() {
    const found = remarks();
    const Range = ace.require("ace/range").Range;
    for (const [name, editor] of Object.entries(editors)) {
      const own = found.filter((one) => one.field === name && one.line > 0);
      editor.session.setAnnotations(
        own.map((one) => ({
          row: one.line - 1, column: one.column - 1, text: one.text, type: one.level,
        })),
      );
      for (const id of editor.marks ?? []) editor.session.removeMarker(id);
      editor.marks = own
        .filter((one) => one.isProblem)
        .map((one) =>
          editor.session.addMarker(new Range(one.line - 1, 0, one.line - 1, 1), "te-mark", "fullLine"),
        );
    }
    const faulty = new Set(found.filter((one) => one.isProblem).map((one) => one.field));
    for (const tab of form.querySelectorAll(".te-tabs [data-part]"))
      tab.classList.toggle("has-fault", faulty.has(tab.dataset.part));
    for (const line of form.querySelectorAll(".te-line"))
      line.classList.toggle("has-fault", faulty.has(line.dataset.field));
  }

  const desk = templateDesk(form, {
    shown: mark,
    refused(faults) {
      const first = faults.find((one) => PARTS.includes(one.field));
      if (first) showPart(first.field);
    },
  });
  const { soon, touched } = desk;

  /* --- start --- */

  document.documentElement.classList.add("is-scripted");
  ace.config.set("useStrictCSP", true);
  ace.config.setDefaultValue("session", "useWorker", false);
  ace.config.set("basePath", new URL(".", document.querySelector("script[src*='/ace/ace']").src).pathname);
  PARTS.forEach(startAce);
  form.querySelector(".te-tabs").hidden = false;
  showPart("html");
  mark();

  form.querySelector(".te-tabs").addEventListener("click", (event) => {
    const tab = event.target.closest("[data-part]");
    if (tab) {
      showPart(tab.dataset.part);
      editors[tab.dataset.part].focus();
    }
  });
  form.addEventListener("input", (event) => {
    if (event.target.name === "marketing") soon();
    else if (event.target.name && !event.target.closest(".te-ace") && event.target.name !== "te-view") touched();
  });
  form.elements.format.addEventListener("change", () => {
    form.querySelector("[data-format-name]").textContent = form.elements.format.selectedOptions[0].text;
  });
  document.addEventListener("click", (event) => {
    const button = event.target.closest(".te-goto");
    if (!button) return;
    const { field, line, column } = button.closest("li").dataset;
    goTo(field, Number(line), Number(column));
  });
  new MutationObserver(() => Object.values(editors).forEach((one) => one.setTheme(theme()))).observe(
    document.documentElement, { attributes: true, attributeFilter: ["class"] },
  );
})();
