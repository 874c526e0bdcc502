{
  // One step of gradient descent on v (equation 4), in the plane of v and ∇_w L; v lies along x.
  const box = document.querySelector(".step");
  const picture = box.querySelector("svg");
  const { angle, v: size, rate } = box.querySelector("form").elements;
  const g = 1;

  const plus = ([a, b], [x, y]) => [a + x, b + y];
  const times = (c, [x, y]) => [c * x, c * y];
  const dot = ([a, b], [x, y]) => a * x + b * y;
  const norm = (vector) => Math.hypot(...vector);
  const degrees = (radians) => (radians * 180) / Math.PI;
  const number = (x) => x.toFixed(3).replace(/^-0\.000$/, "0.000").replace("-", "−");

  function add(name, attributes, content = "") {
    const element = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    element.innerHTML = content; // ours, never a file's
    picture.append(element);
  }

  const place = ([x, y]) => `${x.toFixed(4)} ${(-y).toFixed(4)}`; // in SVG y points down

  function arrow(name, from, by) {
    const tip = plus(from, by);
    const head = times(Math.min(0.1, norm(by) / 2) / (norm(by) || 1), by);
    const sides = [0.5, -0.5].map((s) => plus(tip, [s * head[1] - head[0], -s * head[0] - head[1]]));
    const [left, right] = sides.map(place);
    add("path", { class: name, d: `M ${place(from)} L ${place(tip)} M ${left} L ${place(tip)} L ${right}` });
  }

  function letters(content, [x, y], anchor = "start") {
    const small = content.replace(/_(.)/g, '<tspan dy="0.05" font-size="0.11">$1</tspan><tspan dy="-0.05">&#8203;</tspan>');
    add("text", { x, y: 0.05 - y, "text-anchor": anchor }, small);
  }

  function draw() {
    const theta = (angle.value * Math.PI) / 180;
    const eta = Number(rate.value);
    const v = [Number(size.value), 0];
    const w = times(g / norm(v), v);
    const gradient = [Math.cos(theta), Math.sin(theta)];
    const projected = plus(gradient, times(-dot(w, gradient) / dot(w, w), w));
    const gradientV = times(g / norm(v), projected);
    const step = times(-eta, gradientV);
    const next = plus(v, step);

    picture.replaceChildren();
    add("circle", { class: "circle", r: norm(v) });
    add("circle", { class: "circle", r: norm(next) });
    add("path", { class: "taken", d: `M ${place(gradient)} L ${place(projected)}` });
    arrow("w", [0, 0], w);
    arrow("v", [0, 0], v);
    arrow("next", [0, 0], next);
    arrow("projected", [0, 0], projected);
    arrow("gradient", [0, 0], gradient);
    arrow("gradient-v", v, gradientV);
    arrow("step-v", v, step);

    const side = theta > Math.PI / 2 ? 1 : -1; // the one where ∇_w L is not
    if (norm(projected) > 0.3) {
      letters("M_w∇_wL", [side * 0.08, projected[1] / 2], side > 0 ? "start" : "end");
    }
    if (norm(step) > 0.4) letters("Δv", [v[0] - 0.08, step[1] / 2], "end");
    letters("∇_wL", [gradient[0], gradient[1] + 0.14], "middle");
    letters("∇_vL", [v[0] + 0.08, Math.max(gradientV[1], 0.2)]);
    letters("w", [w[0] - 0.15, -0.13], "middle");
    letters("v", [v[0] + 0.08, 0]);
    letters("v′", [v[0] + 0.08, Math.min(next[1], -0.2)]);

    const numbers = {
      projected: number(norm(projected)),
      gradient: number(norm(gradientV)),
      product: number(dot(v, gradientV)),
      c: number(norm(step) / norm(v)),
      length: number(norm(next)),
      turn: `${degrees(Math.atan2(-next[1], next[0])).toFixed(1)}°`,
      factors: `${number(g / norm(v))}, ${number(g / norm(next))}`,
      next: number((eta * g * norm(projected)) / dot(next, next)),
      g: number(dot(gradient, v) / norm(v)),
    };
    for (const cell of box.querySelectorAll("td")) cell.textContent = numbers[cell.dataset.number];
    for (const [input, unit] of [[angle, "°"], [size, ""], [rate, ""]]) {
      input.parentElement.querySelector("output").textContent = input.value + unit;
    }
  }

  box.addEventListener("input", draw);
  box.hidden = false;
  draw(); // a browser may have kept where the sliders stood before a reload
}
