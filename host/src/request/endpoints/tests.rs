use std::time::Duration;

use proptest::prelude::*;

use super::*;

#[test]
fn prices_are_moved_digit_for_digit() {
    for (per_million, expected) in [
        (0.25, "0.00000025"),
        (0.1, "0.0000001"),
        (0.000_000_3, "0.0000000000003"),
        (0.0, "0"),
        (1.0, "0.000001"),
        (3.75, "0.00000375"),
        (15.0, "0.000015"),
        (100_000.0, "0.1"),
        (1_000_000.0, "1"),
        (12_345_678.5, "12.3456785"),
    ] {
        assert_eq!(per_token(per_million), expected);
    }
}

#[test]
fn a_price_that_there_is_none_of_is_absent_and_an_unknown_one_is_null() {
    let unknown = json!({ "prompt": null, "completion": null });
    assert_eq!(Value::from(pricing(None)), unknown);
    let plain = Price { input: 0.25, output: 2.0, ..Price::default() };
    let expected = json!({ "prompt": "0.00000025", "completion": "0.000002" });
    assert_eq!(Value::from(pricing(Some(plain))), expected);
    let all = Price {
        cached_input: Some(0.025),
        cache_write: Some(0.3125),
        request: Some(0.005),
        ..plain
    };
    let expected = json!({
        "prompt": "0.00000025",
        "completion": "0.000002",
        "input_cache_read": "0.000000025",
        "input_cache_write": "0.0000003125",
        "request": "0.005",
    });
    assert_eq!(Value::from(pricing(Some(all))), expected);
}

proptest! {
    #[test]
    fn a_price_reads_as_a_millionth_and_has_no_exponent(price in 0.0..100_000.0f64) {
        let text = per_token(price);
        prop_assert!(text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.'), "{text}");
        let digits = |text: &str| text.replace('.', "").trim_matches('0').to_owned();
        prop_assert_eq!(digits(&text), digits(&price.to_string()));
        let read: f64 = text.parse().unwrap_or(f64::NAN);
        prop_assert!((read * 1e6 - price).abs() <= price * 1e-12, "{text}");
    }
}

#[test]
fn a_status_names_the_worst_that_is_wrong() {
    let half_open = Reading { breaker: Breaker::HalfOpen, ..Reading::default() };
    let open = Reading { breaker: Breaker::Open, ..Reading::default() };
    let back_off = Duration::from_secs(1);
    let left_alone = Reading { back_off, ..half_open };
    assert_eq!(status(true, false, &Reading::default()), 0);
    assert_eq!(status(true, false, &half_open), -1);
    assert_eq!(status(true, false, &left_alone), -2);
    assert_eq!(status(true, false, &Reading { back_off, ..open }), -3);
    assert_eq!(status(true, true, &open), -5);
    assert_eq!(status(false, true, &open), -10);
}

#[test]
fn modalities_are_those_of_all_endpoints_in_one_order() {
    let image = Offer {
        inputs: Some(vec![Modality::Image, Modality::Text]),
        outputs: Some(vec![Modality::Text]),
        ..Offer::default()
    };
    let file = Offer { inputs: Some(vec![Modality::File]), ..Offer::default() };
    let all = architecture(&[&image, &Offer::default(), &file]);
    assert_eq!(all["input_modalities"], json!(["text", "image", "file"]));
    assert_eq!(all["output_modalities"], json!(["text"]));
    assert_eq!(all["modality"], "text+image+file->text");

    let unknown = architecture(&[&file]);
    assert_eq!((&unknown["output_modalities"], &unknown["modality"]), (&Value::Null, &Value::Null));

    let text = Some(vec![Modality::Text]);
    let vectors = Offer { inputs: text, outputs: Some(Vec::new()), ..Offer::default() };
    assert_eq!(architecture(&[&vectors])["modality"], "text->embeddings");
}

#[test]
fn figures_that_nothing_was_observed_of_are_null() {
    assert_eq!(percentiles(None), Value::Null);
    assert_eq!(percentiles(Some(Percentiles::default())), Value::Null);
    let observed = Percentiles { count: 1, p50: 1.000_04, p99: 2.5, ..Percentiles::default() };
    let expected = json!({ "p50": 1.0, "p75": 0.0, "p90": 0.0, "p99": 2.5 });
    assert_eq!(percentiles(Some(observed)), expected);
    assert_eq!(percent(None), Value::Null);
    assert_eq!(percent(Some(0.57)), json!(57.0));
}
