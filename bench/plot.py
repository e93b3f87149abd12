"""Plots as SVG."""
import math


def line_plot(title, x_name, y_name, series):
    """An SVG of one or more lines over a logarithmic x axis. series: {name: [(x, y), ...]}."""
    if not any(series.values()):
        return '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 640 40"><text y="24">nothing was measured</text></svg>\n'
    width, height, left, bottom, top, right = 640, 360, 60, 50, 40, 120
    xs = sorted({x for points in series.values() for x, _ in points})
    most = max(y for points in series.values() for _, y in points) * 1.1 or 1
    low, high = math.log(xs[0]), math.log(xs[-1])

    def at(x, y):
        across = (math.log(x) - low) / (high - low) if high > low else 0.5
        return left + across * (width - left - right), height - bottom - y / most * (height - bottom - top)

    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" '
           'font-size="12">', f'<rect width="{width}" height="{height}" fill="white"/>',
           f'<text x="{left}" y="24" font-size="15">{title}</text>']
    for step in range(6):
        y = most * step / 5
        _, place = at(xs[0], y)
        out.append(f'<line x1="{left}" x2="{width - right}" y1="{place:.1f}" y2="{place:.1f}" stroke="#ddd"/>')
        out.append(f'<text x="{left - 6}" y="{place + 4:.1f}" text-anchor="end">{y:.3g}</text>')
    for x in xs:
        place, _ = at(x, 0)
        out.append(f'<text x="{place:.1f}" y="{height - bottom + 18}" text-anchor="middle">{x:,}</text>')
    out.append(f'<text x="{(left + width - right) / 2}" y="{height - 10}" text-anchor="middle">{x_name}</text>')
    out.append(f'<text x="{left}" y="{top - 2}" font-size="11">{y_name}</text>')
    for (name, points), colour in zip(series.items(), ["#1b6ca8", "#d1495b", "#4f772d"]):
        places = [at(x, y) for x, y in points]
        line = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
        out.append(f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="2"/>')
        out += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>' for x, y in places]
        out.append(f'<text x="{places[-1][0] + 8:.1f}" y="{places[-1][1] + 4:.1f}" fill="{colour}">{name}</text>')
    return "\n".join(out + ["</svg>", ""])
