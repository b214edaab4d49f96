//! Who served how much, and when: an SVG of the share of each endpoint over time.
//!
//! A panel for each policy, one time axis for all: areas stacked to 100 % of the requests
//! answered in each stretch of time, spans of faults shaded, and below a lane for each
//! endpoint that had faults, in its colour, with the kind. Text is escaped; the file needs
//! nothing else (no script, no font, no style sheet) and has a white ground of its own, so
//! that it reads the same everywhere. Points are bounded: more stretches than pixels are
//! drawn together.

use std::fmt::Write;
use std::time::Duration;

use crate::fault::Fault;
use crate::scenario::Scenario;
use crate::tally::Shares;

const WIDTH: f64 = 960.0;
const LEFT: f64 = 56.0;
const RIGHT: f64 = 200.0;
const TOP: f64 = 44.0;
const PANEL: f64 = 180.0;
const PANEL_GAP: f64 = 34.0;
const LANE: f64 = 12.0;
const AXIS: f64 = 40.0;
const INNER: f64 = WIDTH - LEFT - RIGHT;
/// Not more than a column for each pixel or two.
const MAX_COLUMNS: usize = 400;
/// Lengths between marks of the time axis, seconds.
const MARKS_S: [f64; 14] = [
    1.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 900.0, 1_800.0, 3_600.0, 7_200.0, 21_600.0,
    86_400.0,
];
const MAX_MARKS: f64 = 12.0;
/// Told apart by those who see fewer colours too (Okabe and Ito, "Color Universal Design",
/// 2008).
const COLOURS: [&str; 8] =
    ["#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#8a7a00", "#666666"];

/// The picture. Policies come in the order given; each has a name and its shares.
pub fn svg(scenario: &Scenario, policies: &[(&str, &Shares)]) -> String {
    let lanes = lanes(scenario);
    let end_s = end(scenario, policies);
    #[expect(clippy::cast_precision_loss, reason = "a few panels and lanes")]
    let (panels, lane_count) = (policies.len() as f64, lanes.len() as f64);
    let lanes_top = TOP + panels * (PANEL + PANEL_GAP);
    let axis_top = lanes_top + lane_count * LANE;
    let height = (axis_top + AXIS).max(TOP + legend_height(scenario));
    let mut svg = Svg { text: String::new(), end_s };
    svg.push(format_args!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" \
         height=\"{height}\" font-family=\"sans-serif\" font-size=\"12\" fill=\"#222222\">\n\
         <title>{}: share of each endpoint over time</title>\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n",
        escaped(&scenario.name)
    ));
    svg.text_at(LEFT, 20.0, "font-size=\"14\" font-weight=\"bold\"", &scenario.name);
    let mut top = TOP;
    for (policy, shares) in policies {
        svg.panel(scenario, policy, shares, top);
        top += PANEL + PANEL_GAP;
    }
    svg.lanes(scenario, &lanes, lanes_top);
    svg.axis(TOP, axis_top);
    svg.legend(scenario);
    svg.text.push_str("</svg>\n");
    svg.text
}

struct Svg {
    text: String,
    end_s: f64,
}

impl Svg {
    fn push(&mut self, markup: std::fmt::Arguments<'_>) {
        // Writing to a string does not fail.
        let _ = self.text.write_fmt(markup);
    }

    fn text_at(&mut self, x: f64, y: f64, attributes: &str, text: &str) {
        let text = escaped(text);
        self.push(format_args!("<text x=\"{x:.1}\" y=\"{y:.1}\" {attributes}>{text}</text>\n"));
    }

    fn x(&self, at_s: f64) -> f64 {
        LEFT + INNER * (at_s / self.end_s).clamp(0.0, 1.0)
    }

    fn panel(&mut self, scenario: &Scenario, policy: &str, shares: &Shares, top: f64) {
        let columns = columns(shares, scenario.endpoints.len());
        let mut below = vec![0.0; columns.len()];
        for (position, endpoint) in scenario.endpoints.iter().enumerate() {
            let above: Vec<f64> = columns
                .iter()
                .zip(&below)
                .map(|(column, below)| below + column.shares.get(position).copied().unwrap_or(0.0))
                .collect();
            let path = self.area(&columns, &below, &above, top);
            if !path.is_empty() {
                self.push(format_args!(
                    "<path d=\"{path}\" fill=\"{}\" fill-opacity=\"0.85\"><title>{}</title></path>\n",
                    colour(position),
                    escaped(&endpoint.name)
                ));
            }
            below = above;
        }
        for fault in &scenario.faults {
            self.span(scenario, fault, top, PANEL, "fill=\"#000000\" fill-opacity=\"0.10\"");
        }
        self.text_at(LEFT, top - 6.0, "font-weight=\"bold\"", policy);
        for percent in [0.0, 25.0, 50.0, 75.0, 100.0] {
            let y = top + PANEL * (1.0 - percent / 100.0);
            self.push(format_args!(
                "<line x1=\"{LEFT}\" y1=\"{y:.1}\" x2=\"{:.1}\" y2=\"{y:.1}\" stroke=\"#222222\" \
                 stroke-opacity=\"0.25\"/>\n",
                LEFT + INNER
            ));
            self.text_at(LEFT - 6.0, y + 4.0, "text-anchor=\"end\"", &format!("{percent} %"));
        }
    }

    /// Steps: to the right along the upper edge, back along the lower. Empty where the
    /// endpoint served nothing.
    fn area(&self, columns: &[Bar], below: &[f64], above: &[f64], top: f64) -> String {
        if above.iter().zip(below).all(|(above, below)| above <= below) {
            return String::new();
        }
        let y = |share: f64| top + PANEL * (1.0 - share.clamp(0.0, 1.0));
        let edge = |(column, share): (&Bar, &f64)| {
            let y = y(*share);
            [(self.x(column.start_s), y), (self.x(column.end_s), y)]
        };
        let mut points: Vec<(f64, f64)> = columns.iter().zip(above).flat_map(edge).collect();
        let mut back: Vec<(f64, f64)> = columns.iter().zip(below).flat_map(edge).collect();
        back.reverse();
        points.append(&mut back);
        let mut path = String::new();
        for (position, (x, y)) in points.iter().enumerate() {
            let command = if position == 0 { 'M' } else { 'L' };
            let _ = write!(path, "{command}{x:.1} {y:.1}");
        }
        path.push('Z');
        path
    }

    fn span(&mut self, scenario: &Scenario, fault: &Fault, top: f64, height: f64, paint: &str) {
        let (start_s, end_s) = (fault.start.as_secs_f64(), fault.end.as_secs_f64());
        if start_s >= self.end_s {
            return;
        }
        let (x, end) = (self.x(start_s), self.x(end_s));
        let name =
            scenario.endpoints.get(fault.endpoint).map_or("", |endpoint| endpoint.name.as_str());
        self.push(format_args!(
            "<rect x=\"{x:.1}\" y=\"{top:.1}\" width=\"{:.1}\" height=\"{height:.1}\" {paint}>\
             <title>{}: {}, {:.0} % of requests, {start_s:.0} s to {end_s:.0} s</title></rect>\n",
            (end - x).max(1.0),
            escaped(name),
            fault.kind.name(),
            fault.intensity * 100.0,
        ));
    }

    fn lanes(&mut self, scenario: &Scenario, lanes: &[usize], top: f64) {
        let mut y = top;
        for lane in lanes {
            for fault in scenario.faults.iter().filter(|fault| fault.endpoint == *lane) {
                let paint = format!("fill=\"{}\"", colour(*lane));
                self.span(scenario, fault, y, LANE - 3.0, &paint);
            }
            y += LANE;
        }
        if !lanes.is_empty() {
            self.text_at(LEFT - 6.0, top + 8.0, "text-anchor=\"end\" font-size=\"10\"", "faults");
        }
    }

    fn axis(&mut self, top: f64, bottom: f64) {
        let fits = |mark: &&f64| self.end_s / **mark <= MAX_MARKS;
        let step = MARKS_S.iter().find(fits).copied().unwrap_or(self.end_s);
        let in_minutes = step >= 60.0;
        let mut at_s = 0.0;
        // One more mark than fits at most, whatever the rounding.
        for _ in 0..=MAX_MARKS as usize {
            if at_s > self.end_s {
                break;
            }
            let x = self.x(at_s);
            self.push(format_args!(
                "<line x1=\"{x:.1}\" y1=\"{top:.1}\" x2=\"{x:.1}\" y2=\"{:.1}\" stroke=\"#222222\" \
                 stroke-opacity=\"0.15\"/>\n",
                bottom + 4.0
            ));
            let said =
                if in_minutes { format!("{} min", at_s / 60.0) } else { format!("{at_s} s") };
            self.text_at(x, bottom + 18.0, "text-anchor=\"middle\"", &said);
            at_s += step;
        }
    }

    fn legend(&mut self, scenario: &Scenario) {
        let x = LEFT + INNER + 16.0;
        let mut y = TOP;
        for (position, endpoint) in scenario.endpoints.iter().enumerate() {
            let fill = colour(position);
            self.push(format_args!(
                "<rect x=\"{x}\" y=\"{y:.1}\" width=\"12\" height=\"12\" fill=\"{fill}\"/>\n"
            ));
            self.text_at(x + 18.0, y + 10.0, "", &endpoint.name);
            y += LEGEND_LINE;
        }
        self.push(format_args!(
            "<rect x=\"{x}\" y=\"{y:.1}\" width=\"12\" height=\"12\" fill=\"#000000\" \
             fill-opacity=\"0.10\"/>\n"
        ));
        self.text_at(x + 18.0, y + 10.0, "", "a fault");
    }
}

const LEGEND_LINE: f64 = 18.0;

#[expect(clippy::cast_precision_loss, reason = "a few endpoints")]
fn legend_height(scenario: &Scenario) -> f64 {
    (scenario.endpoints.len() + 1) as f64 * LEGEND_LINE
}

/// A stretch of time with the share of each endpoint; all 0 where nothing was answered.
struct Bar {
    start_s: f64,
    end_s: f64,
    shares: Vec<f64>,
}

#[expect(clippy::cast_precision_loss, reason = "counts of bins and requests")]
fn columns(shares: &Shares, endpoints: usize) -> Vec<Bar> {
    let together = shares.answered.len().div_ceil(MAX_COLUMNS).max(1);
    let chunks = shares.answered.chunks(together).enumerate();
    let column = |(position, bins): (usize, &[Vec<u32>])| {
        let first = position * together;
        let served = |endpoint: usize| -> f64 {
            bins.iter().filter_map(|bin| bin.get(endpoint)).map(|count| f64::from(*count)).sum()
        };
        let counts: Vec<f64> = (0..endpoints).map(served).collect();
        let total: f64 = counts.iter().sum::<f64>().max(1.0);
        Bar {
            start_s: first as f64 * shares.bin_s,
            end_s: (first + bins.len()) as f64 * shares.bin_s,
            shares: counts.iter().map(|count| count / total).collect(),
        }
    };
    chunks.map(column).collect()
}

/// Endpoints that have faults.
fn lanes(scenario: &Scenario) -> Vec<usize> {
    let has_faults = |lane: &usize| scenario.faults.iter().any(|fault| fault.endpoint == *lane);
    (0..scenario.endpoints.len()).filter(has_faults).collect()
}

#[expect(clippy::cast_precision_loss, reason = "counts of bins")]
fn end(scenario: &Scenario, policies: &[(&str, &Shares)]) -> f64 {
    let of_shares = policies.iter().map(|(_, shares)| shares.answered.len() as f64 * shares.bin_s);
    let arrivals = scenario.horizon().max(Duration::from_secs(1)).as_secs_f64();
    of_shares.fold(arrivals, f64::max)
}

fn colour(position: usize) -> String {
    // After the colours that are told apart easily: hues that repeat late (golden angle).
    COLOURS.get(position).map_or_else(
        || format!("hsl({}, 45%, 55%)", position * 137 % 360),
        |colour| (*colour).to_owned(),
    )
}

/// For text and attributes. Characters that XML 1.0 has no way to write are replaced.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&apos;"),
            '\t' | '\n' | '\r' => escaped.push(' '),
            '\0'..='\u{1f}' | '\u{fffe}' | '\u{ffff}' => escaped.push('\u{fffd}'),
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests;
