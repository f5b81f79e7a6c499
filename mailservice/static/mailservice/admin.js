/* The console's few movements: a dashboard that stays fresh, tabs, copying, and marking as read. */
(() => {
  "use strict";

  const REFRESH_MS = 5000;

  async function refresh(dashboard) {
    if (document.hidden) return;
    const reply = await fetch(dashboard.dataset.refresh, { credentials: "same-origin" });
    if (!reply.ok || reply.redirected) return;
    const fresh = new DOMParser()
      .parseFromString(await reply.text(), "text/html")
      .getElementById("dashboard");
    if (fresh) dashboard.replaceChildren(...fresh.childNodes);
  }

  function keepFresh(dashboard) {
    let isBusy = false;
    setInterval(async () => {
      if (isBusy) return;
      isBusy = true;
      try {
        await refresh(dashboard);
      } catch {
        /* The server is away; the next round asks again. */
      } finally {
        isBusy = false;
      }
    }, REFRESH_MS);
  }

  function show(tabs, name) {
    for (const tab of tabs.querySelectorAll("[data-tab]")) {
      const isActive = tab.dataset.tab === name;
      tab.classList.toggle("is-active", isActive);
      tab.setAttribute("aria-selected", String(isActive));
    }
    for (const panel of tabs.querySelectorAll("[data-panel]")) {
      panel.hidden = panel.dataset.panel !== name;
      const frame = panel.querySelector("iframe[data-src]");
      if (!panel.hidden && frame && !frame.src) frame.src = frame.dataset.src;
    }
  }

  function startTabs(tabs) {
    tabs.addEventListener("click", (event) => {
      const tab = event.target.closest("[data-tab]");
      if (tab) show(tabs, tab.dataset.tab);
    });
    show(tabs, tabs.querySelector("[data-tab]").dataset.tab);
  }

  function startCopy(button) {
    button.addEventListener("click", async () => {
      const source = document.querySelector(button.dataset.copy);
      const label = button.querySelector("[data-copy-label]");
      try {
        await navigator.clipboard.writeText(source.textContent);
        label.textContent = "Copied";
      } catch {
        const range = document.createRange();
        range.selectNodeContents(source);
        getSelection().removeAllRanges();
        getSelection().addRange(range);
        label.textContent = "Press Ctrl+C";
      }
    });
  }

  function postNow(form) {
    fetch(form.action, {
      method: "POST",
      body: new FormData(form),
      credentials: "same-origin",
      headers: { "X-Requested-With": "fetch" },
    }).catch(() => {});
  }

  document.addEventListener("DOMContentLoaded", () => {
    const dashboard = document.querySelector("#dashboard[data-refresh]");
    if (dashboard) keepFresh(dashboard);
    document.querySelectorAll("[data-tabs]").forEach(startTabs);
    document.querySelectorAll("[data-copy]").forEach(startCopy);
    document.querySelectorAll("form[data-post-now]").forEach(postNow);
  });
})();
