//! nDCG@10 against query latency and index size, as SVG.

use std::{fmt::Write, ops::RangeInclusive};

use crate::report::Report;

const COLORS: [&str; 8] = [
    "#1b6ca8", "#d1495b", "#2a9d5c", "#8d5fb5", "#c7841f", "#4a4a4a", "#00909e", "#a0522d",
];
const SHAPES: usize = 4;
const WIDTH: f64 = 420.0;
const HEIGHT: f64 = 320.0;
const LEFT: f64 = 60.0;
const TOP: f64 = 40.0;
const GAP: f64 = 90.0;
const LINE: f64 = 18.0;
/// From the frames to the legend.
const FOOT: f64 = 66.0;

/// What a panel has across.
type Quantity = fn(&Report) -> f64;

/// One panel a quantity: a color a system, a shape a collection, and a line through what is of one
/// collection.
pub(crate) fn draw(reports: &[Report]) -> String {
    let systems = distinct(reports.iter().map(|report| report.system.clone()));
    let places = distinct(reports.iter().map(Report::place));
    let legend = LINE * systems.len().max(places.len()) as f64;
    let width = LEFT + 2.0 * WIDTH + GAP + 30.0;
    let height = TOP + HEIGHT + FOOT + legend;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width:.0} {height:.0}\" font-family=\"sans-serif\" font-size=\"12\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n"
    );
    let panels: [(&str, Quantity); 2] = [
        ("query p50, us (logarithmic)", |report| report.query_p50_us),
        ("index, bytes a document (logarithmic)", |report| {
            report.bytes_per_document()
        }),
    ];
    for (at, (title, of)) in panels.into_iter().enumerate() {
        let left = LEFT + at as f64 * (WIDTH + GAP);
        let across = Axis::logarithmic(reports.iter().map(of), left);
        let up = Axis::linear(reports.iter().map(|report| report.ndcg_at_10));
        frame(&mut svg, left, title, &across, &up);
        let place_of = |report: &Report| {
            let x = across.place(of(report).max(1e-9).log10());
            (x, up.place(report.ndcg_at_10))
        };
        for place in &places {
            let mut points: Vec<(f64, f64)> = reports
                .iter()
                .filter(|report| report.place() == *place)
                .map(place_of)
                .collect();
            points.sort_by(|a, b| a.0.total_cmp(&b.0));
            let points: Vec<String> = points
                .iter()
                .map(|(x, y)| format!("{x:.1},{y:.1}"))
                .collect();
            put(
                &mut svg,
                format_args!(
                    "<polyline points=\"{}\" fill=\"none\" stroke=\"#bbb\" stroke-dasharray=\"2 3\"/>\n",
                    points.join(" ")
                ),
            );
        }
        for report in reports {
            let (x, y) = place_of(report);
            let color = COLORS[index(&systems, &report.system) % COLORS.len()];
            let tip = escaped(&format!(
                "{}, {}: nDCG@10 {:.4}, {:.0}",
                report.place(),
                report.system,
                report.ndcg_at_10,
                of(report)
            ));
            let shape = mark(index(&places, &report.place()), x, y, color);
            put(
                &mut svg,
                format_args!("<g><title>{tip}</title>{shape}</g>\n"),
            );
        }
    }
    let square = |at: usize, x: f64, y: f64| {
        let color = COLORS[at % COLORS.len()];
        let (left, top) = (x - 6.0, y - 6.0);
        format!(
            "<rect x=\"{left:.1}\" y=\"{top:.1}\" width=\"12\" height=\"12\" fill=\"{color}\"/>"
        )
    };
    legend_column(&mut svg, LEFT, &systems, square);
    let shape = |at: usize, x: f64, y: f64| mark(at, x, y, "#666666");
    legend_column(&mut svg, LEFT + WIDTH + GAP, &places, shape);
    svg.push_str("</svg>\n");
    svg
}

/// Names under one of the panels, each behind its sign.
fn legend_column(
    svg: &mut String,
    left: f64,
    names: &[String],
    sign: impl Fn(usize, f64, f64) -> String,
) {
    let mut y = TOP + HEIGHT + FOOT;
    for (at, name) in names.iter().enumerate() {
        svg.push_str(&sign(at, left + 6.0, y - 4.0));
        let (x, name) = (left + 20.0, escaped(name));
        put(
            svg,
            format_args!("<text x=\"{x}\" y=\"{y:.1}\">{name}</text>\n"),
        );
        y += LINE;
    }
}

/// From values to places on paper.
struct Axis {
    low: f64,
    high: f64,
    from: f64,
    to: f64,
    ticks: Vec<(f64, String)>,
}

impl Axis {
    fn logarithmic(values: impl Iterator<Item = f64>, left: f64) -> Axis {
        let (low, high) = bounds(values.map(|value| value.max(1e-9).log10()));
        let (low, high) = (low - 0.1, high + 0.1);
        // What is close together needs finer ones to be read at all.
        let tens = |step| (10..100).step_by(step).collect::<Vec<i32>>();
        let multiples = [vec![10, 20, 50], tens(10), tens(5), tens(1)];
        let ticks = multiples.map(|multiples| ticks(&multiples, low..=high));
        let ticks = ticks.into_iter().find(|ticks| ticks.len() > 1);
        Axis {
            low,
            high,
            from: left,
            to: left + WIDTH,
            ticks: ticks.unwrap_or_default(),
        }
    }

    fn linear(values: impl Iterator<Item = f64>) -> Axis {
        let (low, high) = bounds(values);
        let (low, high) = ((low - 0.05).max(0.0), (high + 0.05).min(1.0));
        let tenths = (0..=20).map(|at| f64::from(at) / 20.0);
        let ticks = tenths
            .filter(|value| (low..=high).contains(value))
            .map(|value| (value, format!("{value:.2}")));
        Axis {
            low,
            high,
            from: TOP + HEIGHT,
            to: TOP,
            ticks: ticks.collect(),
        }
    }

    fn place(&self, value: f64) -> f64 {
        self.from + (value - self.low) / (self.high - self.low) * (self.to - self.from)
    }
}

/// Multiples of the powers of ten whose logarithms are in `range`, where and as text.
fn ticks(multiples: &[i32], range: RangeInclusive<f64>) -> Vec<(f64, String)> {
    let exponents = -9_i32..16;
    let values = exponents.flat_map(|exponent| {
        // Divided below one, as 0.3 is 3 / 10 and not 3 * 0.1.
        let value = move |multiple: &i32| match exponent {
            0.. => f64::from(*multiple) * 10_f64.powi(exponent),
            _ => f64::from(*multiple) / 10_f64.powi(-exponent),
        };
        multiples.iter().map(value)
    });
    let inside = values.filter(|value| range.contains(&value.log10()));
    inside
        .map(|value| (value.log10(), format!("{value}")))
        .collect()
}

fn bounds(values: impl Iterator<Item = f64>) -> (f64, f64) {
    let (low, high) = values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| {
        (low.min(value), high.max(value))
    });
    // Nothing was measured.
    if low > high { (0.0, 1.0) } else { (low, high) }
}

fn frame(svg: &mut String, left: f64, title: &str, across: &Axis, up: &Axis) {
    let bottom = TOP + HEIGHT;
    put(
        svg,
        format_args!(
            "<rect x=\"{left}\" y=\"{TOP}\" width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"none\" stroke=\"#444\"/>\n"
        ),
    );
    put(
        svg,
        format_args!("<text x=\"{left}\" y=\"{}\">nDCG@10</text>\n", TOP - 10.0),
    );
    put(
        svg,
        format_args!(
            "<text x=\"{}\" y=\"{}\" text-anchor=\"middle\">{title}</text>\n",
            left + WIDTH / 2.0,
            bottom + 36.0
        ),
    );
    for (value, label) in &across.ticks {
        let x = across.place(*value);
        put(
            svg,
            format_args!(
                "<path d=\"M{x:.1} {TOP}V{bottom}\" stroke=\"#ddd\"/><text x=\"{x:.1}\" y=\"{}\" text-anchor=\"middle\">{label}</text>\n",
                bottom + 16.0
            ),
        );
    }
    for (value, label) in &up.ticks {
        let y = up.place(*value);
        put(
            svg,
            format_args!(
                "<path d=\"M{left} {y:.1}H{}\" stroke=\"#ddd\"/><text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{label}</text>\n",
                left + WIDTH,
                left - 6.0,
                y + 4.0
            ),
        );
    }
}

fn mark(shape: usize, x: f64, y: f64, color: &str) -> String {
    // Beyond the four shapes, a ring: filled, then open.
    let fill = if shape < SHAPES { color } else { "white" };
    let style =
        format!("fill=\"{fill}\" fill-opacity=\"0.8\" stroke=\"{color}\" stroke-width=\"1.5\"");
    match shape % SHAPES {
        0 => format!("<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"5\" {style}/>"),
        1 => format!(
            "<path d=\"M{:.1} {:.1}h9v9h-9z\" {style}/>",
            x - 4.5,
            y - 4.5
        ),
        2 => format!("<path d=\"M{x:.1} {:.1}l6 10h-12z\" {style}/>", y - 6.0),
        _ => format!(
            "<path d=\"M{x:.1} {:.1}l6 6l-6 6l-6 -6z\" {style}/>",
            y - 6.0
        ),
    }
}

fn distinct(names: impl Iterator<Item = String>) -> Vec<String> {
    let mut seen = Vec::new();
    for name in names {
        if !seen.contains(&name) {
            seen.push(name);
        }
    }
    seen
}

fn index(names: &[String], name: &str) -> usize {
    names.iter().position(|other| other == name).unwrap_or(0)
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

fn put(svg: &mut String, arguments: std::fmt::Arguments<'_>) {
    svg.write_fmt(arguments).expect("a string takes everything");
}
