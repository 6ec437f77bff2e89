// Trained models that run in the page, with no server: <div class="model-in-page" data-model="9-6"
// data-view="text"> holds a picture, and becomes what a reader types into and steps through.
//
// The equations are those of d2lrnn/cells.py. Weights are files of the library, byte for byte, which a script
// beside this one brings, _static/models/<model>-<framework>.js (book/page_models.py writes it): a page that is
// opened from a disk may load a script, and nothing else.
//
// Of which framework the weights are: of the one that the page's switch has chosen (frameworks.js). It stands in
// <html data-framework="jax">, and the event "d2lrnn:framework" on `document` tells that it has changed.
(() => {
  "use strict";

  const FRAMEWORKS = { torch: "PyTorch", jax: "JAX", mxnet: "MXNet", tensorflow: "TensorFlow" };
  const folder = new URL("models/", document.currentScript.src);

  // Weights ---------------------------------------------------------------------------------------------

  // A file in the safetensors format, in base64: arrays {shape, data} by name, and `header`.
  function readWeights(base64) {
    const bytes = Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
    const begin = 8 + Number(new DataView(bytes.buffer).getBigUint64(0, true));
    const entries = JSON.parse(new TextDecoder().decode(bytes.subarray(8, begin)));
    const weights = { header: JSON.parse(entries.__metadata__?.d2lrnn ?? "{}") };
    delete entries.__metadata__;
    for (const [name, { dtype, shape, data_offsets: [from, to] }] of Object.entries(entries)) {
      if (dtype !== "F32") throw new Error(`${name} is of ${dtype}, not of F32`);
      weights[name] = { shape, data: new Float32Array(bytes.slice(begin + from, begin + to).buffer) };
    }
    return weights;
  }

  // Equations -------------------------------------------------------------------------------------------

  const sigmoid = (a) => Math.tanh(a / 2) / 2 + 0.5;
  const ACTIVATIONS = { tanh: Math.tanh, relu: (a) => Math.max(a, 0) };
  const map = (f, ...vectors) => vectors[0].map((_, i) => f(...vectors.map((vector) => vector[i])));
  const add = (...vectors) => map((...numbers) => numbers.reduce((a, b) => a + b), ...vectors);

  // x W, a vector (in) times a matrix (in, out); of a token, its row.
  function times(x, { shape: [, columns], data }) {
    if (typeof x === "number") return Array.from(data.subarray(x * columns, (x + 1) * columns));
    const product = new Array(columns).fill(0);
    x.forEach((value, row) => {
      for (let j = 0; j < columns; j++) product[j] += value * data[row * columns + j];
    });
    return product;
  }

  // From an input and a state to the next state: the equations of 9.4, 10.1, and of the frameworks' GRU (10.2).
  const CELLS = {
    h: (W, phi) => (x, { H }) => ({
      H: add(times(x, W("W_xh")), times(H, W("W_hh")), W("b_h").data).map(phi),
    }),
    ifoc: (W) => (x, { H, C }) => {
      const A = (gate) => add(times(x, W("W_x" + gate)), times(H, W("W_h" + gate)), W("b_" + gate).data);
      const [I, F, O] = ["i", "f", "o"].map((gate) => A(gate).map(sigmoid));
      const memory = map((f, c, i, new_c) => f * c + i * new_c, F, C, I, A("c").map(Math.tanh));
      return { H: map((o, c) => o * Math.tanh(c), O, memory), C: memory, I, F, O };
    },
    zrn: (W) => (x, { H }) => {
      const A = (gate) => add(times(x, W("W_x" + gate)), W("b_" + gate).data);
      const [Z, R] = ["z", "r"].map((gate) => add(A(gate), times(H, W("W_h" + gate))).map(sigmoid));
      const candidate = map((a, r, b) => Math.tanh(a + r * b), A("n"), R, times(H, W("W_hn")));
      return { H: map((z, h, new_h) => z * h + (1 - z) * new_h, Z, H, candidate), Z, R };
    },
  };

  // The cell whose weights begin with `prefix`, and the state to begin with.
  function cell(weights, prefix) {
    const gates = Object.keys(CELLS).find((letters) =>
      [...letters].every((gate) => `${prefix}W_x${gate}` in weights));
    if (!gates) throw new Error(`${prefix}... are the weights of no cell that this page knows`);
    const W = (name) => weights[prefix + name];
    const [num_hiddens] = W("W_h" + gates[0]).shape;
    const phi = ACTIVATIONS[weights.header.activation ?? "tanh"];
    const zeros = new Array(num_hiddens).fill(0);
    return { step: CELLS[gates](W, phi), start: { H: zeros, C: zeros } };
  }

  const dense = (weights, path, H) =>
    add(times(H, weights[path + ".W_hq"]), weights[path + ".b_q"].data);

  // softmax(logits / temperature); of what is never predicted, 0.
  function probabilities(logits, never, temperature = 1) {
    const o = logits.map((logit, i) => (never.includes(i) ? -Infinity : logit / temperature));
    const largest = Math.max(...o);
    const e = o.map((value) => Math.exp(value - largest));
    const sum = e.reduce((a, b) => a + b);
    return e.map((value) => value / sum);
  }

  const likeliest = (numbers) => numbers.indexOf(Math.max(...numbers));

  // Sections 9.5, 9.6, 10.1: characters.
  class LanguageModel {
    constructor(base64, [vocab]) {
      this.weights = readWeights(base64);
      this.vocab = vocab;
      this.never = [vocab.indexOf("<unk>")];
      this.cell = cell(this.weights, "rnn.");
    }

    // A prompt is read as the text of the training was: lower case, a space for all that is no letter.
    encode(text) {
      const read = text.replace(/[^A-Za-z]+/g, " ").toLowerCase();
      return [...read].map((token) => this.vocab.indexOf(this.vocab.includes(token) ? token : "<unk>"));
    }

    step(token, state = this.cell.start) {
      const next = this.cell.step(token, state);
      return { ...next, logits: dense(this.weights, "linear", next.H) };
    }
  }

  // Section 11.4: words, the states of the encoder as keys and values, and a GRU that attends to them.
  class Translator {
    constructor(base64, [source, target], num_steps) {
      Object.assign(this, { weights: readWeights(base64), source, vocab: target, num_steps });
      this.never = [];
      [this.encoder, this.decoder] = ["encoder", "decoder"].map((part) =>
        cell(this.weights, `${part}.rnn.`));
    }

    // Words and the `<eos>` after them, cut to as many as the sentences of the training had.
    words(text) {
      const words = text.toLowerCase().trim().split(/\s+/).filter(Boolean);
      return [...words.slice(0, this.num_steps - 1), "<eos>"];
    }

    begin(text) {
      const known = this.words(text).map((word) =>
        this.source.indexOf(this.source.includes(word) ? word : "<unk>"));
      let state = this.encoder.start;
      const keys = known.map((token) => {
        state = this.encoder.step(times(token, this.weights["encoder.embedding.W"]), state);
        return state.H;
      });
      return { H: state.H, keys };
    }

    step(token, { H, keys }) {
      const W = (name) => this.weights["decoder.attention." + name];
      const query = times(H, W("W_q"));
      const scores = keys.map((key) =>
        times(add(query, times(key, W("W_k"))).map(Math.tanh), W("w_v"))[0]);
      const attention = probabilities(scores, []);
      const context = add(...keys.map((key, i) => key.map((value) => attention[i] * value)));
      const input = [...context, ...times(token, this.weights["decoder.embedding.W"])];
      const next = this.decoder.step(input, { H });
      return { ...next, keys, attention, logits: dense(this.weights, "decoder.dense", next.H) };
    }
  }

  // Chance: the numbers of np.random.RandomState(seed), so that a seed gives the text that `predict` gives --

  class Mersenne {
    constructor(seed) {
      this.key = new Uint32Array(624);
      this.key[0] = seed;
      for (let i = 1; i < 624; i++) {
        const last = this.key[i - 1] ^ (this.key[i - 1] >>> 30);
        this.key[i] = Math.imul(1812433253, last) + i;
      }
      this.at = 624;
    }

    next() {
      if (this.at === 624) {
        for (let i = 0; i < 624; i++) {
          const y = (this.key[i] & 0x80000000) | (this.key[(i + 1) % 624] & 0x7fffffff);
          this.key[i] = this.key[(i + 397) % 624] ^ (y >>> 1) ^ (y & 1 ? 0x9908b0df : 0);
        }
        this.at = 0;
      }
      let y = this.key[this.at++];
      y ^= y >>> 11;
      y ^= (y << 7) & 0x9d2c5680;
      y ^= (y << 15) & 0xefc60000;
      return (y ^ (y >>> 18)) >>> 0;
    }

    uniform() {
      const [a, b] = [this.next() >>> 5, this.next() >>> 6];
      return (a * 67108864 + b) / 9007199254740992;
    }

    gumbel() {
      const u = 1 - this.uniform();
      return u < 1 ? -Math.log(-Math.log(u)) : this.gumbel();
    }
  }

  // From logits to a token: the likeliest, or one drawn from softmax(logits / temperature).
  function chooser({ sampled, temperature, seed }, never) {
    const random = new Mersenne(seed);
    return (logits) => likeliest(logits.map((logit, i) => {
      const noise = sampled ? random.gumbel() : 0; // one for each token, as in d2lrnn/decoding.py
      return never.includes(i) ? -Infinity : (sampled ? logit / temperature : logit) + noise;
    }));
  }

  // Gradients -------------------------------------------------------------------------------------------

  // The largest singular value of a matrix of rows: rotations make its rows orthogonal (Jacobi), two by two.
  function spectralNorm(matrix) {
    const rows = matrix.map((row) => Float64Array.from(row));
    const dot = (a, b) => a.reduce((sum, value, i) => sum + value * b[i], 0);
    for (let rotated = true, sweep = 0; rotated && sweep < 60; sweep++) {
      rotated = false;
      for (let p = 0; p < rows.length; p++) {
        for (let q = p + 1; q < rows.length; q++) {
          const [a, b] = [rows[p], rows[q]];
          const [alpha, beta, gamma] = [dot(a, a), dot(b, b), dot(a, b)];
          if (Math.abs(gamma) <= 1e-10 * Math.sqrt(alpha * beta)) continue;
          rotated = true;
          const zeta = (beta - alpha) / (2 * gamma);
          const t = (zeta < 0 ? -1 : 1) / (Math.abs(zeta) + Math.hypot(1, zeta));
          const c = 1 / Math.hypot(1, t);
          for (let i = 0; i < a.length; i++) {
            [a[i], b[i]] = [c * (a[i] - t * b[i]), c * (b[i] + t * a[i])];
          }
        }
      }
    }
    return Math.sqrt(Math.max(...rows.map((row) => dot(row, row))));
  }

  // The norms of dh_T/dh_t for t = T, ..., 1, of a plain network: the first is 1.
  // With row vectors, dh_t/dh_{t-1} = W_hh diag(1 - h_t^2), and what lies further back is a product.
  function gradientNorms(model, tokens) {
    const { shape: [h], data } = model.weights["rnn.W_hh"];
    const relu = model.weights.header.activation === "relu";
    let state = model.cell.start;
    const slopes = tokens.map((token) => {
      state = model.step(token, state);
      return state.H.map((value) => (relu ? Number(value > 0) : 1 - value * value));
    });
    let J = Array.from({ length: h }, (_, i) => Array.from({ length: h }, (_, j) => Number(i === j)));
    const norms = [1];
    for (let t = tokens.length - 1; t > 0; t--) {
      const scaled = J.map((row, j) => row.map((value) => slopes[t][j] * value));
      J = Array.from({ length: h }, (_, i) => {
        const row = new Array(h).fill(0);
        for (let j = 0; j < h; j++) {
          for (let k = 0; k < h; k++) row[k] += data[i * h + j] * scaled[j][k];
        }
        return row;
      });
      norms.push(spectralNorm(J));
    }
    return norms;
  }

  // What is seen ----------------------------------------------------------------------------------------

  function element(tag, attributes = {}, ...children) {
    const made = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) {
      if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
      else if (value !== false) made.setAttribute(name, value === true ? "" : value);
    }
    made.append(...children);
    return made;
  }

  const escaped = (text) => text.replace(/[&<>"]/g, (c) => `&#${c.charCodeAt(0)};`);
  const percent = (p) => `${(100 * p).toFixed(1)}\u00a0%`;
  const spoken = (token) => (token === " " ? "space" : token);
  const seen = (token) => (token === " " ? "\u2423" : token);
  const hidden = (text) => element("span", { class: "model-spoken" }, text);

  // A matrix of numbers as an SVG: a column for each token, a row for each unit (or word of the target).
  function heatMap({ columns, labels, rowLabels = [], signed, height, width = 14, name }) {
    const scale = Math.max(1, ...columns.flat().map(Math.abs));
    const left = rowLabels.length ? 48 : 0;
    const rows = columns[0].length;
    const below = rowLabels.length ? 46 : 18;
    const size = [left + width * columns.length, height * rows + below];
    const levels = {}; // one path for all fields of one shade, of 16 either way
    columns.forEach((column, x) => column.forEach((value, y) => {
      const level = Math.round((16 * value) / scale);
      levels[level] = `${levels[level] ?? ""}M${left + x * width} ${y * height}h${width - 0.5}v${
        height - 0.5}h${0.5 - width}z`;
    }));
    const cells = Object.entries(levels).map(([level, path]) =>
      `<path d="${path}" class="${level < 0 ? "minus" : "plus"}" fill-opacity="${Math.abs(level) / 16}"/>`).join("");
    const under = labels.map((label, x) => {
      const [at, bottom] = [left + (x + 0.5) * width, height * rows + 13];
      const turned = rowLabels.length ? ` transform="rotate(-40 ${at} ${bottom})" text-anchor="end"` : "";
      return `<text x="${at}" y="${bottom}"${turned || ' text-anchor="middle"'}>${escaped(seen(label))}</text>`;
    }).join("");
    const beside = rowLabels.map((label, y) =>
      `<text x="${left - 5}" y="${(y + 0.5) * height + 4}" text-anchor="end">${escaped(label)}</text>`).join("");
    const svg = `<svg viewBox="0 0 ${size.join(" ")}" width="${size[0]}" role="img" aria-label="${escaped(name)}">
      <rect class="paper" x="${left}" width="${width * columns.length}" height="${height * rows}"/>
      ${cells}${under}${beside}</svg>`;
    const from = signed ? `\u2212${scale.toFixed(scale > 1 ? 1 : 0)}` : "0";
    const legend = `<p class="model-legend" aria-hidden="true">${from}
      <span class="${signed ? "from-minus" : "from-zero"}"></span> ${scale.toFixed(scale > 1 ? 1 : 0)}</p>`;
    const made = element("div", { class: "model-map" });
    made.innerHTML = svg + legend;
    return made;
  }

  // The likeliest of a distribution, as a table of bars.
  function bars(p, vocab, caption, chosen) {
    const order = p.map((_, i) => i).sort((a, b) => p[b] - p[a]).slice(0, 8);
    if (chosen !== undefined && !order.includes(chosen)) order[order.length - 1] = chosen;
    const rows = order.map((i) => {
      const bar = element("span", { class: "bar" });
      bar.style.width = `${100 * p[i]}%`;
      const token = element("th", { scope: "row" },
        element("span", { "aria-hidden": "true" }, seen(vocab[i])), hidden(spoken(vocab[i])));
      const note = i === chosen ? hidden(", taken") : "";
      return element("tr", { class: i === chosen ? "chosen" : "" }, token,
        element("td", { class: "track" }, bar), element("td", {}, percent(p[i]), note));
    });
    const head = element("tr", {}, ...["token", "bar", "probability"].map((name) =>
      element("th", { scope: "col" }, name)));
    return element("table", { class: "model-bars" }, element("caption", {}, caption),
      element("thead", { class: "model-spoken" }, head), element("tbody", {}, ...rows));
  }

  const button = (label, onclick) => element("button", { type: "button", onclick }, label);
  const labelled = (label, control) => element("label", {}, element("span", {}, label), control);

  // What all views have: a frame with controls, what is seen of the model, and what is said of it.
  class View {
    constructor(div) {
      this.div = div;
      this.picture = [...div.childNodes];
      this.controls = element("div", { class: "model-controls" });
      this.message = element("p", { class: "model-message", role: "status" });
      this.live = element("p", { class: "model-spoken", "aria-live": "polite" });
      this.shown = element("div", { class: "model-shown" });
      this.of = element("p", { class: "model-of" });
      this.frame = element("div", { class: "model-frame", role: "group", hidden: true, "aria-label": div.dataset.label ??
        "A model to try" }, this.controls, this.message, this.live, this.shown, this.of);
      div.append(this.frame);
      this.makeControls();
      new ResizeObserver(() => this.width !== this.shown.clientWidth && this.data && this.draw())
        .observe(this.frame);
    }

    // A text that the reader types; each change is seen at once.
    input(value, maxlength) {
      return element("input", { type: "text", value, maxlength, autocomplete: "off", autocapitalize: "off",
        spellcheck: "false", oninput: () => this.restart() });
    }

    // The picture where there are no weights, with the reason below it; else the model.
    take(data) {
      const missing = Boolean(data.missing);
      this.frame.hidden = false;
      for (const node of this.picture) if (node.nodeType === 1) node.hidden = !missing;
      for (const part of [this.controls, this.shown, this.message]) part.hidden = missing;
      this.data = missing ? undefined : data;
      const whose = FRAMEWORKS[data.framework];
      const short = data.quick ? " It was a short training; a full one gives other numbers." : "";
      this.of.textContent = missing ? `${whose}: ${data.missing}` : `These are the weights of ${whose}, as the ` +
        `notebook of section ${data.model.replace("-", ".")} trained them.${short}`;
      if (missing) return;
      this.models = Object.entries(data.files).map(([name, file]) => {
        const model = new (data.vocabs.length > 1 ? Translator : LanguageModel)(file, data.vocabs, data.num_steps);
        return { name, model };
      });
      this.restart();
    }

    // Nothing to be seen, as the controls say nothing that could be run.
    blank() {
      this.tracks = this.track = undefined;
      this.shown.replaceChildren();
    }

    draw() {
      this.width = this.shown.clientWidth;
    }
  }

  const QUANTITIES = {
    H: "Hidden state", C: "Memory", F: "Forget gate", I: "Input gate", O: "Output gate",
  };

  // A prefix, its continuation character by character, and what the layer does meanwhile.
  class TextView extends View {
    makeControls() {
      const { prefix = "it has", beside = "yes", quantity = "H" } = this.div.dataset;
      const choice = `choice-${Math.random().toString(36).slice(2)}`;
      const restart = () => this.restart();
      const number = (attributes) => element("input", { type: "number", oninput: restart, ...attributes });
      const way = (value, checked) =>
        element("input", { type: "radio", name: choice, value, checked, onchange: restart });
      this.prefix = this.input(prefix, 60);
      this.greedy = way("greedy", true);
      this.sampled = way("sampled", false);
      this.temperature = number({ min: 0.05, max: 10, step: 0.05, value: 0.5, required: true });
      this.seed = number({ min: 0, max: 4294967295, step: 1, value: 1, required: true });
      this.beside = element("input", { type: "checkbox", checked: beside === "yes", onchange: () => this.draw() });
      this.quantity = element("select", { onchange: () => this.draw() },
        ...Object.entries(QUANTITIES).map(([value, name]) => element("option", { value }, name)));
      this.quantity.value = quantity;
      this.which = labelled("Shown", this.quantity);
      this.back = button("\u25c2 Back", () => this.go(this.position - 1));
      this.next = button("Next \u25b8", () => this.forward());
      this.more = button("20 more", () => this.play());
      this.again = button("Start again", restart);
      this.place = element("input", { type: "range", min: 1, step: 1, oninput: () => this.go(Number(this.place.value)) });
      this.controls.append(
        labelled("Prefix", this.prefix),
        element("fieldset", {}, element("legend", {}, "Next character"),
          element("label", {}, this.greedy, "the likeliest"), element("label", {}, this.sampled, "drawn"),
          labelled("temperature", this.temperature), labelled("seed", this.seed)),
        element("label", { class: "model-check" }, this.beside, "untrained beside trained"), this.which,
        element("div", { class: "model-buttons" }, this.back, this.next, this.more, this.again,
          labelled("Place in the text", this.place)));
    }

    settings() {
      return { sampled: this.sampled.checked, temperature: Number(this.temperature.value),
        seed: Number(this.seed.value) };
    }

    // From the prefix on; what was added to it goes.
    restart() {
      clearTimeout(this.timer);
      for (const control of [this.temperature, this.seed]) control.disabled = !this.sampled.checked;
      const wrong = [this.temperature, this.seed].find((control) => !control.checkValidity());
      const empty = this.prefix.value === "";
      this.message.textContent = empty ? "Type at least one character to start from." :
        wrong ? `${wrong === this.seed ? "Seed" : "Temperature"}: ${wrong.validationMessage}` : "";
      if (empty || wrong || !this.models) return this.blank();
      this.tracks = this.models.map(({ name, model }) => {
        const tokens = model.encode(this.prefix.value);
        let state;
        const steps = tokens.map((token) => (state = model.step(token, state)));
        return { name, model, tokens, steps, begun: tokens.length,
          choose: chooser(this.settings(), model.never) };
      });
      this.position = this.tracks[0].begun;
      this.which.hidden = !("C" in this.tracks[0].steps[0]);
      this.draw();
    }

    get length() {
      return this.tracks[0].tokens.length;
    }

    // The text of a track up to a place, with the prefix as it was typed.
    text({ tokens, begun, model }, place) {
      const added = tokens.slice(begun, place).map((token) => model.vocab[token]).join("");
      return place < begun ? tokens.slice(0, place).map((token) => model.vocab[token]).join("") :
        this.prefix.value + added;
    }

    go(place) {
      clearTimeout(this.timer);
      if (!this.tracks || place < 1 || place > this.length) return;
      this.position = place;
      this.draw();
      this.say();
    }

    // One character on, along the text or beyond its end.
    forward() {
      if (!this.tracks) return;
      if (this.position === this.length) this.add(1);
      this.go(this.position + 1);
    }

    // Add characters to all texts, as far as they may grow.
    add(number) {
      for (const { tokens, steps, begun, model, choose } of this.tracks) {
        for (let i = 0; i < number && tokens.length - begun < 300; i++) {
          const token = choose(steps.at(-1).logits);
          tokens.push(token);
          steps.push(model.step(token, steps.at(-1)));
        }
      }
    }

    // Write on from the end: seen as it goes, where the reader has nothing against what moves.
    play() {
      clearTimeout(this.timer);
      if (!this.tracks) return;
      const from = this.length;
      this.add(20);
      if (matchMedia("(prefers-reduced-motion: reduce)").matches) return this.go(this.length);
      const write = (place) => {
        if (place === this.length) return this.go(place);
        this.position = place;
        this.draw();
        this.timer = setTimeout(write, 60, place + 1);
      };
      write(Math.min(from + 1, this.length));
    }

    // The names of those that are seen: the trained one, and the other one if it is wanted.
    visible() {
      return this.tracks.filter(({ name }) => name === "trained" || this.beside.checked);
    }

    say() {
      this.live.textContent = this.visible().map((track) => `${track.name}: ${this.text(track, this.position)}`)
        .join("; ");
    }

    draw() {
      super.draw();
      if (!this.tracks) return;
      this.place.max = this.length;
      this.place.value = this.position;
      this.place.setAttribute("aria-valuetext", `after character ${this.position} of ${this.length}`);
      this.back.setAttribute("aria-disabled", this.position === 1);
      const visible = this.visible();
      this.shown.dataset.tracks = visible.length;
      this.shown.replaceChildren(...visible.map((track) => this.panel(track)));
    }

    panel(track) {
      const { name, model, tokens, steps, begun } = track;
      const { sampled, temperature } = this.settings();
      const quantity = this.which.hidden ? "H" : this.quantity.value;
      const wide = this.width / (this.shown.dataset.tracks > 1 && this.width >= 560 ? 2 : 1);
      const from = Math.max(0, this.position - Math.min(60, Math.max(16, Math.floor((wide - 20) / 14))));
      const columns = steps.slice(from, this.position).map((step) => step[quantity]);
      const last = columns.at(-1);
      const strongest = last.map((_, i) => i).sort((a, b) => Math.abs(last[b]) - Math.abs(last[a])).slice(0, 3);
      const map = heatMap({
        columns, labels: tokens.slice(from, this.position).map((token) => model.vocab[token]),
        signed: "HC".includes(quantity), height: 5,
        name: `${QUANTITIES[quantity]} of ${last.length} units after each character, ${name}. Last column: ` +
          `largest in ${strongest.map((i) => `unit ${i + 1} (${last[i].toFixed(2)})`).join(", ")}.`,
      });
      const rest = this.text(track, this.length).slice(this.text(track, this.position).length);
      const text = element("p", { class: "model-text" },
        element("b", {}, this.text(track, Math.min(begun, this.position))),
        this.text(track, this.position).slice(this.text(track, Math.min(begun, this.position)).length),
        element("span", { class: "cursor", "aria-hidden": "true" }), element("span", { class: "ahead" }, rest));
      const p = probabilities(steps[this.position - 1].logits, model.never, sampled ? temperature : 1);
      const next = tokens[this.position] ?? (sampled ? undefined : likeliest(p));
      const caption = `Probabilities of the next character${sampled ? `, temperature ${temperature}` : ""}`;
      return element("div", { class: "model-panel", role: "group", "aria-label": name },
        element("p", { class: "model-name" }, name), text,
        element("p", { class: "model-caption" }, QUANTITIES[quantity]), map, bars(p, model.vocab, caption, next));
    }
  }

  // How far back a gradient reaches from the last character of a text.
  class GradientView extends View {
    makeControls() {
      this.prefix = this.input(this.div.dataset.prefix ?? "the time traveller smiled", 60);
      this.controls.append(labelled("Text", this.prefix));
    }

    restart() {
      const empty = this.prefix.value.length < 2;
      this.message.textContent = empty ? "Type at least two characters." : "";
      if (empty || !this.models) return this.blank();
      this.tracks = this.models.map(({ name, model }) => {
        const tokens = model.encode(this.prefix.value);
        return { name, model, tokens, norms: gradientNorms(model, tokens) };
      });
      this.draw();
    }

    draw() {
      super.draw();
      if (!this.tracks) return;
      const [{ tokens, model }] = this.tracks;
      const [left, right, top, bottom] = [46, 10, 8, 150];
      const width = Math.min(760, Math.max(280, this.width));
      const lowest = Math.floor(Math.log10(Math.max(1e-12,
        Math.min(...this.tracks.flatMap(({ norms }) => norms)))));
      const highest = Math.max(0, Math.ceil(Math.log10(Math.max(...this.tracks.flatMap(({ norms }) => norms)))));
      const x = (t) => left + ((t + 0.5) / tokens.length) * (width - left - right);
      const y = (norm) => top + (bottom - top) * (highest - Math.log10(Math.max(norm, 10 ** lowest))) /
        Math.max(1, highest - lowest);
      const every = Math.max(1, Math.ceil((highest - lowest) / 5));
      const lines = [];
      for (let power = highest; power >= lowest; power -= every) {
        lines.push(`<path class="grid" d="M${left} ${y(10 ** power)}H${width - right}"/>` +
          `<text x="${left - 6}" y="${y(10 ** power) + 4}" text-anchor="end">10<tspan dy="-5" font-size="9">${
            String(power).replace("-", "\u2212")}</tspan></text>`);
      }
      const curves = this.tracks.map(({ name, norms }) => {
        const points = norms.map((norm, back) => [x(tokens.length - 1 - back), y(norm)]);
        const path = points.map((point) => point.map((n) => n.toFixed(1)).join(" ")).join("L");
        const dots = points.map(([cx, cy]) => `<circle cx="${cx.toFixed(1)}" cy="${cy.toFixed(1)}" r="2.6"/>`);
        return `<g class="curve ${name}"><path d="M${path}"/>${dots.join("")}</g>`;
      });
      const under = tokens.map((token, t) =>
        `<text x="${x(t)}" y="${bottom + 18}" text-anchor="middle">${escaped(seen(model.vocab[token]))}</text>`);
      const words = this.tracks.map(({ name, norms }) => {
        const back = Math.min(10, norms.length - 1);
        return `${name} ${norms[back].toExponential(1)} ${back} characters back`;
      }).join(", ");
      const chart = element("div", { class: "model-chart" });
      chart.innerHTML = `<svg viewBox="0 0 ${width} 176" width="${width}" role="img" aria-label="${escaped(
        `Norm of the derivative of the last state by each earlier one, on a logarithmic axis: ${words}.`)}">${
        lines.join("")}${curves.join("")}${under.join("")}</svg>`;
      const legend = element("p", { class: "model-legend" }, ...this.tracks.map(({ name }) =>
        element("span", { class: `key ${name}` }, name)));
      const row = (back) => element("tr", {}, element("th", { scope: "row" }, String(back)),
        element("td", {}, spoken(model.vocab[tokens[tokens.length - 1 - back]])),
        ...this.tracks.map(({ norms }) => element("td", {}, norms[back].toExponential(2))));
      const head = ["back", "at", ...this.tracks.map(({ name }) => name)].map((name) =>
        element("th", { scope: "col" }, name));
      const open = this.shown.querySelector("details")?.open ?? false;
      const table = element("table", { class: "model-numbers" }, element("thead", {}, element("tr", {}, ...head)),
        element("tbody", {}, ...tokens.map((_, back) => row(back))));
      this.live.textContent = words;
      if (this.shown.childElementCount === 0) {
        this.numbers = element("details", {}, element("summary", {}, "The numbers"));
        this.drawn = element("div", {});
        this.shown.append(this.drawn, this.numbers);
      }
      this.drawn.replaceChildren(element("p", { class: "model-caption" },
        "How much the last state changes with each earlier one (largest singular value of \u2202h_T/\u2202h_t)"),
        chart, legend);
      this.numbers.replaceChildren(this.numbers.firstElementChild, table);
      this.numbers.open = open;
    }
  }

  // A translator that attends, word by word.
  class AttentionView extends View {
    makeControls() {
      this.sentence = this.input(this.div.dataset.prefix ?? "three one four", 120);
      this.controls.append(labelled("Sentence", this.sentence),
        element("div", { class: "model-buttons" }, button("\u25c2 Back", () => this.back()),
          button("Next \u25b8", () => this.forward()), button("To the end", () => this.finish()),
          button("Start again", () => this.restart())));
    }

    restart() {
      if (!this.models) return;
      const [{ model }] = this.models;
      const words = model.words(this.sentence.value);
      const strange = words.filter((word) => !model.source.includes(word));
      this.message.textContent = words.length < 2 ? "Type at least one word." :
        strange.length ? `${strange.join(", ")}: not in the vocabulary, so read as <unk>. It knows ${
          model.source.filter((word) => !word.startsWith("<")).sort().join(", ")}.` : "";
      if (words.length < 2) return this.blank();
      const first = model.step(model.vocab.indexOf("<bos>"), model.begin(this.sentence.value));
      this.track = { model, words, tokens: [], steps: [first] };
      this.draw();
    }

    get ended() {
      const { model, tokens } = this.track;
      return model.vocab[tokens.at(-1)] === "<eos>" || tokens.length === model.num_steps;
    }

    extend() {
      const { model, tokens, steps } = this.track;
      const token = likeliest(steps.at(-1).logits);
      tokens.push(token);
      steps.push(model.step(token, steps.at(-1)));
    }

    forward() {
      if (!this.track || this.ended) return;
      this.extend();
      this.draw();
      this.say();
    }

    back() {
      if (!this.track || this.track.tokens.length === 0) return;
      this.track.tokens.pop();
      this.track.steps.pop();
      this.draw();
      this.say();
    }

    finish() {
      if (!this.track) return;
      while (!this.ended) this.extend();
      this.draw();
      this.say();
    }

    text() {
      return this.track.tokens.map((token) => this.track.model.vocab[token]).join(" ");
    }

    say() {
      const { words, steps, tokens } = this.track;
      const looked = tokens.length ? steps[tokens.length - 1].attention : [];
      const most = likeliest(looked);
      this.live.textContent = tokens.length ? `${this.text()}; most of its attention, ${percent(looked[most])}, ` +
        `was on ${words[most]}` : "nothing translated yet";
    }

    draw() {
      super.draw();
      if (!this.track) return;
      const { model, words, tokens, steps } = this.track;
      // The row of a word is where the decoder looked before it chose that word.
      const rows = steps.slice(0, Math.max(1, tokens.length));
      const labels = tokens.length ? tokens.map((token) => model.vocab[token]) : ["?"];
      const columns = words.map((_, i) => rows.map(({ attention }) => attention[i]));
      const width = Math.max(16, Math.min(40, Math.floor((this.width - 60) / words.length)));
      const map = heatMap({ columns, labels: words, rowLabels: labels, signed: false, height: 20, width,
        name: "Attention weights: a row for each word of the translation, a column for each word of the sentence. " +
          rows.map(({ attention }, t) => `${labels[t]}: ${words[likeliest(attention)]}`).join("; ") });
      const last = steps.at(-1);
      const p = probabilities(last.logits, []);
      this.shown.replaceChildren(element("div", { class: "model-panel" },
        element("p", { class: "model-text" }, this.text() || "\u2026"),
        element("p", { class: "model-caption" }, "Attention weights"), map,
        this.ended ? "" : bars(p, model.vocab, "Probabilities of the next word", likeliest(p))));
    }
  }

  // The page --------------------------------------------------------------------------------------------

  const VIEWS = { text: TextView, gradient: GradientView, attention: AttentionView };
  const arrived = new Map(); // "9-6-torch" -> what its script brought
  const waiting = new Map(); // "9-6-torch" -> views
  const views = [];
  let chosen = "torch";

  // Called by the scripts that bring weights.
  function take(data) {
    const key = `${data.model}-${data.framework}`;
    arrived.set(key, data);
    for (const view of waiting.get(key) ?? []) if (view.wanted === key) view.take(data);
    waiting.delete(key);
  }

  // The weights that a view needs, as soon as the reader comes near it: until then it costs the page nothing.
  function fetchFor(view) {
    const key = `${view.div.dataset.model}-${chosen}`;
    if (!view.near || view.wanted === key) return;
    view.wanted = key;
    if (arrived.has(key)) view.take(arrived.get(key));
    else if (waiting.has(key)) waiting.get(key).push(view);
    else {
      waiting.set(key, [view]);
      document.head.append(element("script", { src: new URL(`${key}.js`, folder) }));
    }
  }

  function choose(name) {
    if (name in FRAMEWORKS) chosen = name;
    views.forEach(fetchFor);
  }

  function begin() {
    for (const div of document.querySelectorAll("div.model-in-page")) views.push(new VIEWS[div.dataset.view](div));
    const approach = new IntersectionObserver((entries) => {
      for (const { isIntersecting, target } of entries) {
        const view = views.find(({ div }) => div === target);
        view.near ||= isIntersecting;
        fetchFor(view);
      }
    }, { rootMargin: "600px" });
    for (const { div } of views) approach.observe(div);
    choose(document.documentElement.dataset.framework);
    document.addEventListener("d2lrnn:framework", ({ detail }) => choose(detail));
  }

  window.d2lrnnModels = { take, views, LanguageModel, Translator, Mersenne, probabilities, gradientNorms };
  document.addEventListener("DOMContentLoaded", begin);
})();
