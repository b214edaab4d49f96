//! What is known of a model at a provider: price, limits, abilities, and what becomes of data.
//!
//! The catalog, a provider and an endpoint may each say some of it; [`Offer::or`] lets the
//! nearer one count, figure by figure. Whatever nobody says stays absent: an unknown limit
//! limits nothing, but an unknown data policy proves nothing either.

pub use torana_routing::filter::{DataPolicy, Modality};
pub use torana_routing::preferences::Quantization;

use serde_json::{Map, Value};

use super::Price;

/// What a provider offers under the name of a model.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Offer {
    pub price: Option<Price>,
    /// Tokens that a prompt may have.
    pub context_window: Option<u64>,
    /// Tokens that an answer may have.
    pub max_output: Option<u64>,
    pub inputs: Option<Vec<Modality>>,
    /// Empty for models that answer with vectors.
    pub outputs: Option<Vec<Modality>>,
    /// Request parameters that are honoured, by their names in OpenAI's chat completions.
    pub parameters: Option<Vec<String>>,
    /// Of the weights.
    pub quantization: Option<Quantization>,
    pub data_policy: DataPolicy,
    /// The model's licence lets its answers train other models.
    pub distillable: Option<bool>,
    /// It goes on with the text of an assistant message that a conversation ends with.
    pub prefill: Option<bool>,
    /// What a request has to say besides, so that it does.
    pub prefill_parameters: Map<String, Value>,
}

impl Offer {
    /// What this says, and for the rest what `other` does. A price counts as a whole: half of
    /// one list and half of another is no price. Parameters belong to their `prefill`.
    #[must_use]
    pub fn or(self, other: &Self) -> Self {
        let prefills = if self.prefill.is_some() { &self } else { other };
        let prefill_parameters = prefills.prefill_parameters.clone();
        Self {
            price: self.price.or(other.price),
            context_window: self.context_window.or(other.context_window),
            max_output: self.max_output.or(other.max_output),
            inputs: self.inputs.or_else(|| other.inputs.clone()),
            outputs: self.outputs.or_else(|| other.outputs.clone()),
            parameters: self.parameters.or_else(|| other.parameters.clone()),
            quantization: self.quantization.or(other.quantization),
            data_policy: self.data_policy.or(other.data_policy),
            distillable: self.distillable.or(other.distillable),
            prefill: self.prefill.or(other.prefill),
            prefill_parameters,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_they_are_written() {
        for (name, modality) in Modality::NAMES {
            assert_eq!(name, modality.name());
        }
        for (name, quantization) in Quantization::NAMES {
            assert_eq!(name, quantization.name());
        }
    }

    #[test]
    fn the_nearer_one_counts_figure_by_figure_and_a_price_as_a_whole() {
        let near = Offer {
            price: Some(Price { input: 1.0, output: 2.0, ..Price::default() }),
            inputs: Some(Vec::new()),
            data_policy: DataPolicy { training: Some(false), retention_days: None },
            ..Offer::default()
        };
        let far = Offer {
            price: Some(Price { cached_input: Some(0.5), ..Price::default() }),
            max_output: Some(9),
            inputs: Some(vec![Modality::Text]),
            quantization: Some(Quantization::Fp8),
            data_policy: DataPolicy { training: Some(true), retention_days: Some(30) },
            ..Offer::default()
        };
        let both = near.clone().or(&far);
        assert_eq!((both.price, &both.inputs), (near.price, &near.inputs));
        assert_eq!((both.max_output, both.quantization), (Some(9), Some(Quantization::Fp8)));
        let policy = DataPolicy { training: Some(false), retention_days: Some(30) };
        assert_eq!(both.data_policy, policy);
        assert_eq!(Offer::default().or(&far), far);
    }

    #[test]
    fn parameters_of_a_prefill_belong_to_whoever_says_that_it_is_accepted() {
        let parameters = Map::from_iter([("key".to_owned(), Value::from(1))]);
        let known = Offer {
            prefill: Some(true),
            prefill_parameters: parameters.clone(),
            ..Offer::default()
        };
        assert_eq!(Offer::default().or(&known).prefill_parameters, parameters);
        let own = Offer { prefill: Some(true), ..Offer::default() };
        assert!(own.or(&known).prefill_parameters.is_empty());
    }
}
