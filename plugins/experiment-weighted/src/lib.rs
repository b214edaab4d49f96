//! Experiment: variants get traffic by the weights that the configuration gives.
//!
//! A variant without a weight gets an equal share, one over the number of variants; those
//! with a weight divide the rest in proportion to it. So weights everywhere are normalised,
//! and weights nowhere are uniform. A negative or infinite weight is refused, and so are
//! weights that leave nobody: all of them 0.

use torana_plugin_sdk::experiment::{Allocation, Experiment, VariantStatistics};
use torana_plugin_sdk::{NoSettings, SettingsError};

struct Weighted;

impl Experiment for Weighted {
    type Settings = NoSettings;

    fn allocate(
        function: &str,
        variants: &[VariantStatistics],
        _: NoSettings,
    ) -> Result<Allocation, SettingsError> {
        for variant in variants {
            if let Some(weight) = variant.weight
                && !(weight.is_finite() && weight >= 0.0)
            {
                return Err(SettingsError::new(format!(
                    "variant {:?} of function {function:?} has weight {weight}, which is not a \
                     number of 0 or more",
                    variant.name
                )));
            }
        }
        let weights = || variants.iter().filter_map(|it| it.weight);
        let largest = weights().fold(0.0, f64::max);
        let without = variants.len() - weights().count();
        if largest == 0.0 && without == 0 {
            return Err(SettingsError::new(format!(
                "no variant of function {function:?} has a weight above 0"
            )));
        }
        // Divided by the largest first: a sum of huge weights would overflow.
        let sum: f64 = weights().map(|it| it / largest.max(f64::MIN_POSITIVE)).sum();
        let equal = if largest == 0.0 { 1.0 / without as f64 } else { 1.0 / variants.len() as f64 };
        let rest = 1.0 - equal * without as f64;
        let share = |variant: &VariantStatistics| {
            let probability = match variant.weight {
                None => equal,
                Some(0.0) => 0.0,
                Some(weight) => rest * (weight / largest) / sum,
            };
            (variant.name.clone(), probability)
        };
        Ok(Allocation::of(variants.iter().map(share), reason(without, variants.len())))
    }
}

fn reason(without: usize, variants: usize) -> &'static str {
    if without == variants {
        "no variant has a weight: all get the same"
    } else if without == 0 {
        "by the weights in the configuration"
    } else {
        "variants without a weight get an equal share, the others divide the rest by weight"
    }
}

torana_plugin_sdk::export_experiment!(Weighted);

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn allocate(weights: &[Option<f64>]) -> Result<Vec<f64>, SettingsError> {
        let variant = |(index, weight): (usize, &Option<f64>)| {
            VariantStatistics::fresh(&format!("v{index}"), *weight)
        };
        let variants: Vec<_> = weights.iter().enumerate().map(variant).collect();
        let allocation = Weighted::allocate("f", &variants, NoSettings {})?;
        assert!(!allocation.reason.is_empty());
        let shares: Vec<f64> = allocation.shares.iter().map(|it| it.probability).collect();
        assert!((shares.iter().sum::<f64>() - 1.0).abs() < 1e-9, "{shares:?}");
        Ok(shares)
    }

    #[test]
    fn weights_are_normalised() {
        assert_eq!(allocate(&[Some(3.0), Some(1.0)]).unwrap(), [0.75, 0.25]);
        assert_eq!(allocate(&[Some(0.0), Some(9.0)]).unwrap(), [0.0, 1.0]);
        assert_eq!(allocate(&[Some(f64::MAX), Some(f64::MAX)]).unwrap(), [0.5, 0.5]);
    }

    #[test]
    fn no_weights_are_uniform() {
        assert_eq!(allocate(&[None, None, None, None]).unwrap(), [0.25; 4]);
    }

    #[test]
    fn variant_without_a_weight_gets_an_equal_share() {
        let shares = allocate(&[Some(3.0), Some(1.0), None, None]).unwrap();
        assert_eq!(shares, [0.375, 0.125, 0.25, 0.25]);
        assert_eq!(allocate(&[Some(0.0), None, None]).unwrap(), [0.0, 0.5, 0.5]);
    }

    #[test]
    fn weights_that_leave_nobody_or_are_no_weights_are_refused() {
        for weights in [
            vec![],
            vec![Some(0.0), Some(0.0)],
            vec![Some(-1.0), Some(1.0)],
            vec![Some(f64::NAN)],
            vec![Some(f64::INFINITY), Some(1.0)],
        ] {
            assert!(allocate(&weights).is_err(), "{weights:?}");
        }
    }
}
