// How much each direction of the latent space is used: bars, and a sentence on who is at work.

/** What a direction is used for, in words. */
function useOf({ by }, { used }) {
  const name = by === "KL" ? "KL" : "spread";
  return used === null ? `${name} not known` : `${name} ${pretty(used)}${by === "KL" ? " nats" : ""}`;
}

/** KL of each direction as bars, and one sentence on who is at work; `light(i, on)` while the pointer is on a bar. */
function usePanel(place, sentence, latent, order, light) {
  const { dims, by } = latent;
  const active = dims.filter((d) => d.active).length;
  const known = dims.every((d) => d.active !== null);
  const what =
    by === "KL"
      ? "the KL from the prior that each direction pays, in nats per data point"
      : "the standard deviation of the rows’ codes in each direction";
  const verdict =
    active === 0
      ? ": the decoder ignores z, the posterior has collapsed"
      : active === dims.length
        ? ""
        : "; hollow ones are not (they vary by less than 0.01 over the rows)";
  const claim = known
    ? [element("strong", {}, `${active} of ${dims.length} directions active`), verdict]
    : [`How many of ${counted(dims.length, "directions")} are active is `, element("strong", {}, "not known"), ` from ${counted(latent.rows, "rows")}`];
  sentence.replaceChildren(...claim, `. The bars are ${what}.`);
  const most = Math.max(...dims.map((d) => d.used), 1e-9);
  const shown = order.slice(0, 60);
  place.style.setProperty("--n", shown.length);
  place.replaceChildren(
    ...shown.map((i) => {
      const bar = element("i", { class: dims[i].active === false ? "off" : "" });
      bar.style.setProperty("--share", dims[i].used / most);
      const words = `${dims[i].name}: ${useOf(latent, dims[i])}${dims[i].active === false ? ", not active" : ""}`;
      const item = element("li", { title: words }, bar, element("span", { ariaHidden: "true" }, dims[i].name), element("span", { class: "heard" }, words));
      item.addEventListener("pointerenter", () => light(i, true));
      item.addEventListener("pointerleave", () => light(i, false));
      return item;
    }),
  );
}
