//! A file's arrivals and faults: what happens in the world, checked and made.

use std::path::Path;
use std::time::Duration;

use toml::Spanned;

use super::check::{Range, Source, seconds};
use super::file::{self, Count, Kind, Number};
use super::{Arrival, Endpoint, Fault, FaultKind, ScenarioError};
use crate::arrivals::trace::{self, Format};
use crate::arrivals::{Bursts, Generator as Arriving, MAX_ARRIVALS};
use crate::fault::generated::{BrownOut, Family, Generator, MAX_FAULTS, of_region};

const DEFAULT_DURATION_S: (f64, f64) = (30.0, 180.0);
const DEFAULT_INTENSITY: (f64, f64) = (0.5, 1.0);
/// Time for figures to become more than nothing.
const DEFAULT_CALM_S: f64 = 60.0;
const DEFAULT_HANG_S: f64 = 20.0;
const DEFAULT_PERIOD_S: f64 = 20.0;
const DEFAULT_GREY: f64 = 0.2;

impl Source<'_> {
    pub(super) fn arrivals(
        self,
        table: &Spanned<file::Arrivals>,
        seed: u64,
    ) -> Result<Vec<Arrival>, ScenarioError> {
        let of = table.as_ref();
        let speed = self.or("arrivals.speed", of.speed.as_ref(), Range::Positive, 1.0)?;
        let most = i64::try_from(MAX_ARRIVALS).unwrap_or(i64::MAX);
        let limit = of
            .limit
            .as_ref()
            .map(|count| self.count("arrivals.limit", count, 1, most))
            .transpose()?;
        let limit = limit.map_or(MAX_ARRIVALS, |limit| limit as usize);
        match (&of.trace, &of.generated) {
            (Some(file), None) => {
                let folder = self.path.parent().unwrap_or(Path::new(""));
                let path = folder.join(file.as_ref());
                let format =
                    of.format.as_ref().map_or_else(|| Format::of(&path), |format| *format.as_ref());
                let hint = of.if_missing.as_ref().map(|hint| hint.as_ref().as_str());
                Ok(trace::read(&path, format, limit, speed, hint)?)
            }
            (None, Some(generated)) => {
                self.only_of_a_trace(of)?;
                self.generated_arrivals(generated, seed)
            }
            (Some(_), Some(_)) => {
                Err(self.wrong(table, "arrivals", "a trace and generated", "one of the two"))
            }
            (None, None) => {
                Err(self.wrong(table, "arrivals", "empty", "`trace` or `[arrivals.generated]`"))
            }
        }
    }

    fn only_of_a_trace(self, of: &file::Arrivals) -> Result<(), ScenarioError> {
        const EXPECTED: &str = "no such key where arrivals are generated";
        let at = |span: std::ops::Range<usize>, key| {
            Err(self.wrong(&Spanned::new(span, ()), format!("arrivals.{key}"), "set", EXPECTED))
        };
        match (&of.speed, &of.limit, &of.format, &of.if_missing) {
            (Some(set), ..) => at(set.span(), "speed"),
            (_, Some(set), ..) => at(set.span(), "limit"),
            (_, _, Some(set), _) => at(set.span(), "format"),
            (_, _, _, Some(set)) => at(set.span(), "if_missing"),
            (None, None, None, None) => Ok(()),
        }
    }

    fn generated_arrivals(
        self,
        table: &Spanned<file::GeneratedArrivals>,
        seed: u64,
    ) -> Result<Vec<Arrival>, ScenarioError> {
        let of = table.as_ref();
        let key = |key: &str| format!("arrivals.generated.{key}");
        let positive = |name, number| self.number(&key(name), number, Range::Positive);
        let bursts = of.bursts.as_ref().map(|bursts| {
            let every = seconds(positive("bursts.every_s", &bursts.every_s)?);
            let length = seconds(positive("bursts.length_s", &bursts.length_s)?);
            if length > every {
                let found = format!("{} s", length.as_secs_f64());
                return Err(self.wrong(
                    &bursts.length_s,
                    key("bursts.length_s"),
                    found,
                    "at most `every_s`",
                ));
            }
            let factor = self.number(&key("bursts.factor"), &bursts.factor, Range::Factor)?;
            Ok(Bursts { every, length, factor })
        });
        let sessions = of.sessions.as_ref();
        let sessions =
            sessions.map(|count| self.count(&key("sessions"), count, 0, 1_000_000)).transpose()?;
        let generator = Arriving {
            rate_per_s: positive("rate_per_s", &of.rate_per_s)?,
            duration: seconds(positive("duration_s", &of.duration_s)?),
            input_tokens: self.log_normal(&key("input_tokens"), &of.input_tokens)?,
            output_tokens: self.log_normal(&key("output_tokens"), &of.output_tokens)?,
            sessions: sessions.map_or(0, |count| count as usize),
            bursts: bursts.transpose()?,
        };
        #[expect(clippy::cast_precision_loss, reason = "a million")]
        let most = MAX_ARRIVALS as f64;
        if generator.expected() > most {
            let found = format!("about {:.0} requests", generator.expected());
            let expected = format!("at most {MAX_ARRIVALS} by rate and duration");
            return Err(self.wrong(table, "arrivals.generated", found, expected));
        }
        let arrivals = generator.arrivals(seed);
        if arrivals.is_empty() {
            return Err(self.wrong(
                table,
                "arrivals.generated",
                "no request",
                "at least one by rate and duration",
            ));
        }
        Ok(arrivals)
    }

    /// Written and generated ones, in the order of their start.
    pub(super) fn faults(
        self,
        table: &file::Faults,
        endpoints: &[Endpoint],
        horizon: Duration,
        seed: u64,
    ) -> Result<Vec<Fault>, ScenarioError> {
        let mut faults = Vec::new();
        for written in &table.written {
            faults.extend(self.written(written, endpoints)?);
            if faults.len() > MAX_FAULTS {
                let expected = format!("at most {MAX_FAULTS} faults");
                return Err(self.wrong(written, "faults.written", faults.len(), expected));
            }
        }
        if let Some(generated) = &table.generated {
            let generator = self.generator(generated, endpoints)?;
            return Ok(generator.schedule(endpoints, &faults, horizon, seed));
        }
        faults.sort_by_key(|fault| (fault.start, fault.endpoint));
        Ok(faults)
    }

    fn written(
        self,
        table: &Spanned<file::WrittenFault>,
        endpoints: &[Endpoint],
    ) -> Result<Vec<Fault>, ScenarioError> {
        let of = table.as_ref();
        let start = self.number("faults.written.start_s", &of.start_s, Range::NotNegative)?;
        let end = self.number("faults.written.end_s", &of.end_s, Range::Positive)?;
        if end <= start {
            let expected = format!("a time after `start_s`, which is {start}");
            return Err(self.wrong(&of.end_s, "faults.written.end_s", end, expected));
        }
        let kind = self.kind(table)?;
        let usual = if of.kind == Kind::Grey { DEFAULT_GREY } else { 1.0 };
        let intensity = self.or(
            "faults.written.intensity",
            of.intensity.as_ref(),
            Range::PositiveShare,
            usual,
        )?;
        let fault = |endpoint| Fault {
            start: seconds(start),
            end: seconds(end),
            endpoint,
            kind,
            intensity,
        };
        Ok(self.hit(table, endpoints)?.into_iter().map(fault).collect())
    }

    /// Positions of the endpoints that a written fault names.
    fn hit(
        self,
        table: &Spanned<file::WrittenFault>,
        endpoints: &[Endpoint],
    ) -> Result<Vec<usize>, ScenarioError> {
        const KEY: &str = "faults.written.";
        match (&table.as_ref().endpoint, &table.as_ref().region) {
            (Some(name), None) => {
                let position =
                    endpoints.iter().position(|endpoint| endpoint.name == *name.as_ref());
                position.map(|position| vec![position]).ok_or_else(|| {
                    let names: Vec<&str> =
                        endpoints.iter().map(|endpoint| endpoint.name.as_str()).collect();
                    let expected = format!("one of: {}", names.join(", "));
                    self.wrong(
                        name,
                        format!("{KEY}endpoint"),
                        format!("`{}`", name.as_ref()),
                        expected,
                    )
                })
            }
            (None, Some(region)) => {
                let hit: Vec<usize> = of_region(endpoints, region.as_ref()).collect();
                if hit.is_empty() {
                    let found = format!("`{}`", region.as_ref());
                    return Err(self.wrong(
                        region,
                        format!("{KEY}region"),
                        found,
                        "the region of an endpoint",
                    ));
                }
                Ok(hit)
            }
            (Some(_), Some(region)) => Err(self.wrong(
                region,
                format!("{KEY}region"),
                "set beside `endpoint`",
                "one of the two",
            )),
            (None, None) => {
                Err(self.wrong(table, format!("{KEY}endpoint"), "absent", "`endpoint` or `region`"))
            }
        }
    }

    fn kind(self, table: &Spanned<file::WrittenFault>) -> Result<FaultKind, ScenarioError> {
        let of = table.as_ref();
        // The others are the endpoint's state: they hit all.
        const IN_PART: [Kind; 7] =
            [Kind::Error, Kind::Slow, Kind::Hang, Kind::Ramp, Kind::Flap, Kind::Grey, Kind::Cut];
        let keys: [(&str, &Option<Number>, &[Kind]); 5] = [
            ("intensity", &of.intensity, &IN_PART),
            ("factor", &of.factor, &[Kind::Slow, Kind::Ramp, Kind::Price]),
            ("share", &of.share, &[Kind::RateLimit]),
            ("seconds", &of.seconds, &[Kind::Hang]),
            ("period_s", &of.period_s, &[Kind::Flap]),
        ];
        for (key, number, kinds) in keys {
            let Some(number) = number else { continue };
            if !kinds.contains(&of.kind) {
                let expected = "no such key for a fault of this kind";
                return Err(self.wrong(
                    number,
                    format!("faults.written.{key}"),
                    number.as_ref(),
                    expected,
                ));
            }
        }
        let needed = |key: &str, number: &Option<Number>, range| match number {
            Some(number) => self.number(&format!("faults.written.{key}"), number, range),
            None => {
                let expected = "a number for a fault of this kind";
                Err(self.wrong(table, format!("faults.written.{key}"), "absent", expected))
            }
        };
        Ok(match of.kind {
            Kind::Error => FaultKind::Error,
            Kind::Slow => FaultKind::Slow { factor: needed("factor", &of.factor, Range::Factor)? },
            Kind::RateLimit => {
                FaultKind::RateLimit { share: needed("share", &of.share, Range::Share)? }
            }
            Kind::Hang => {
                let key = "faults.written.seconds";
                let seconds = self.or(key, of.seconds.as_ref(), Range::Positive, DEFAULT_HANG_S)?;
                FaultKind::Hang { seconds }
            }
            Kind::Ramp => FaultKind::Ramp { factor: needed("factor", &of.factor, Range::Factor)? },
            Kind::Flap => {
                let key = "faults.written.period_s";
                let period =
                    self.or(key, of.period_s.as_ref(), Range::Positive, DEFAULT_PERIOD_S)?;
                FaultKind::Flap { period: seconds(period) }
            }
            Kind::Grey => FaultKind::Grey,
            Kind::Cut => FaultKind::Cut,
            Kind::Price => {
                FaultKind::Price { factor: needed("factor", &of.factor, Range::NotNegative)? }
            }
        })
    }

    fn generator(
        self,
        table: &Spanned<file::GeneratedFaults>,
        endpoints: &[Endpoint],
    ) -> Result<Generator, ScenarioError> {
        const KEY: &str = "faults.generated.";
        let of = table.as_ref();
        let all: i64 = endpoints.iter().map(|endpoint| i64::from(endpoint.concurrency)).sum();
        let healthy =
            |count: &Count| self.count(&format!("{KEY}healthy_concurrency"), count, 1, all);
        let healthy = of.healthy_concurrency.as_ref().map(healthy).transpose()?;
        let kinds = of.kinds.as_ref().map(|kinds| {
            if kinds.as_ref().is_empty() {
                return Err(self.wrong(kinds, format!("{KEY}kinds"), "empty", "at least one kind"));
            }
            Ok(kinds.as_ref().iter().map(|kind| brown_out(*kind)).collect())
        });
        let calm = self.or(
            &format!("{KEY}calm_s"),
            of.calm_s.as_ref(),
            Range::NotNegative,
            DEFAULT_CALM_S,
        )?;
        Ok(Generator {
            per_hour: self.per_hour(&of.per_hour, endpoints)?,
            duration_s: self.span(
                "duration_s",
                of.duration_s.as_ref(),
                Range::Positive,
                DEFAULT_DURATION_S,
            )?,
            intensity: self.span(
                "intensity",
                of.intensity.as_ref(),
                Range::PositiveShare,
                DEFAULT_INTENSITY,
            )?,
            kinds: kinds.transpose()?.unwrap_or_else(|| BrownOut::ALL.to_vec()),
            calm: seconds(calm),
            healthy_concurrency: healthy.map_or(1, u64::from),
        })
    }

    fn per_hour(
        self,
        of: &file::PerHour,
        endpoints: &[Endpoint],
    ) -> Result<Vec<(Family, f64)>, ScenarioError> {
        let rates = [
            ("single", &of.single, Family::Single),
            ("region", &of.region, Family::Region),
            ("grey", &of.grey, Family::Grey),
            ("ramp", &of.ramp, Family::Ramp),
            ("flap", &of.flap, Family::Flap),
            ("rate_limit", &of.rate_limit, Family::RateLimit),
            ("cut", &of.cut, Family::Cut),
            ("price", &of.price, Family::Price),
        ];
        let mut families = Vec::new();
        for (name, number, family) in rates {
            let Some(number) = number else { continue };
            let key = format!("faults.generated.per_hour.{name}");
            let rate = self.number(&key, number, Range::NotNegative)?;
            if family == Family::Region
                && !endpoints.iter().any(|endpoint| endpoint.region.is_some())
            {
                let expected = "an endpoint with a `region` where regions fail";
                return Err(self.wrong(number, key, rate, expected));
            }
            families.push((family, rate));
        }
        Ok(families)
    }

    fn span(
        self,
        key: &str,
        of: Option<&Spanned<[f64; 2]>>,
        range: Range,
        default: (f64, f64),
    ) -> Result<(f64, f64), ScenarioError> {
        let Some(of) = of else { return Ok(default) };
        let key = format!("faults.generated.{key}");
        let [least, most] = *of.as_ref();
        for number in [least, most] {
            self.number(&key, &Spanned::new(of.span(), number), range)?;
        }
        if least > most {
            let found = format!("[{least}, {most}]");
            return Err(self.wrong(of, key, found, "the lesser number first"));
        }
        Ok((least, most))
    }
}

fn brown_out(kind: file::BrownOut) -> BrownOut {
    match kind {
        file::BrownOut::Error => BrownOut::Error,
        file::BrownOut::Slow => BrownOut::Slow,
        file::BrownOut::RateLimit => BrownOut::RateLimit,
        file::BrownOut::Hang => BrownOut::Hang,
    }
}
