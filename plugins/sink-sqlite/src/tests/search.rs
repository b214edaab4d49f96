//! Inferences found by the words of their text.

use super::*;

fn found(store: &mut Store<Memory>, text: &str) -> Vec<String> {
    let filter = RowFilter { text: Some(text.to_owned()), ..no_filter() };
    walk(store, &filter, Order::OldestFirst)
}

fn with_request(id: &str, request: Json) -> Row {
    inference(id, 1, json!({ "id": id, "request": request }))
}

#[test]
fn words_are_runs_of_letters_and_digits_in_any_case() {
    let mut store = store();
    let batch = [
        with_request(
            "a",
            json!({ "messages": [{ "content": "Don't PANIC: GPT-4o, naïve Ünit" }] }),
        ),
        with_request("b", json!([["nested", { "deep": "panic! हिन्दी भाषा" }]])),
        inference("c", 1, json!({ "id": "c", "response": { "text": "don" }, "model": "panic" })),
    ];
    assert_eq!(write(&mut store, &batch), Outcome::Ack);
    assert_eq!(found(&mut store, "panic"), ["a", "b"]);
    assert_eq!(found(&mut store, "don t"), ["a"]);
    assert_eq!(found(&mut store, "DON"), ["a", "c"]);
    assert_eq!(found(&mut store, "4O gpt"), ["a"]);
    assert_eq!(found(&mut store, "naive"), [""; 0], "letters are compared as they are");
    assert_eq!(found(&mut store, "NAÏVE üNIT"), ["a"]);
    assert_eq!(found(&mut store, "भाषा हिन्दी"), ["b"]);
    assert_eq!(found(&mut store, "pan"), [""; 0], "words are whole");
    assert_eq!(found(&mut store, " ?! "), ["a", "b", "c"], "no word asks for nothing");
}

#[test]
fn nothing_that_somebody_types_is_an_operator() {
    let mut store = store();
    assert_eq!(write(&mut store, &[with_request("a", json!("plain or near"))]), Outcome::Ack);
    for text in
        ["plain OR missing", "NOT missing", "missing*", "words:missing", "\"missing", "^missing"]
    {
        assert_eq!(found(&mut store, text), [""; 0], "{text}");
    }
    for text in ["plain OR", "NEAR(plain)", "\"plain\"", "'plain'; --", "plain*"] {
        assert_eq!(found(&mut store, text), ["a"], "{text}");
    }
}

#[test]
fn media_is_not_indexed() {
    let mut store = store();
    let base64 = "QUJD".repeat(300);
    let unspaced = "字,".repeat(20_000);
    let batch = [
        with_request("a", json!({ "url": "data:image/png;base64,iVBOR", "text": "one" })),
        with_request("b", json!({ "data": base64, "text": "two" })),
        with_request("c", json!({ "blob": unspaced, "text": "three" })),
    ];
    assert_eq!(write(&mut store, &batch), Outcome::Ack);
    for word in ["iVBOR", "png", &base64, "字"] {
        assert_eq!(found(&mut store, word), [""; 0]);
    }
    assert_eq!(found(&mut store, "one"), ["a"]);
    assert_eq!(found(&mut store, "two"), ["b"]);
    assert_eq!(found(&mut store, "three"), ["c"]);
}

#[test]
fn a_row_that_comes_twice_is_indexed_once() {
    let mut store = store();
    let first = with_request("a", json!("first"));
    assert_eq!(write(&mut store, std::slice::from_ref(&first)), Outcome::Ack);
    assert_eq!(write(&mut store, &[with_request("b", json!("second")), first]), Outcome::Ack);
    let again = [with_request("a", json!("changed"))];
    assert_eq!(write(&mut store, &again), Outcome::Ack);
    assert_eq!(found(&mut store, "first"), ["a"]);
    assert_eq!(found(&mut store, "second"), ["b"]);
    assert_eq!(found(&mut store, "changed"), [""; 0]);
    assert_eq!(cell(&mut store, "SELECT count(*) FROM inference_text"), Value::Integer(2));
}

#[test]
fn rows_are_still_found_after_the_file_was_compacted() {
    let mut store = store();
    let calls: Vec<Row> =
        (0..9).map(|it| with_request(&format!("{it}"), json!(format!("word{it}")))).collect();
    assert_eq!(write(&mut store, &calls), Outcome::Ack);
    store
        .database
        .database
        .connection
        .execute_batch("DELETE FROM inference WHERE id < '5'; VACUUM")
        .unwrap();
    assert_eq!(found(&mut store, "word7"), ["7"]);
    assert_eq!(found(&mut store, "word3"), [""; 0]);
}

#[test]
fn a_search_has_a_bound_and_other_tables_have_no_words() {
    let mut store = store();
    let page = PageRequest { order: Order::NewestFirst, limit: 1, cursor: None };
    let many: Vec<String> = (0..65).map(|it| it.to_string()).collect();
    let filter = RowFilter { text: Some(many.join(" ")), ..no_filter() };
    let answer = list::rows(&mut store.database, Table::Inference, &filter, &page);
    assert!(matches!(answer, Err(QueryError::Unsupported(_))), "{answer:?}");
    assert_eq!(found(&mut store, &many[1..].join(" ")), [""; 0]);
    let answer = list::rows(&mut store.database, Table::Feedback, &filter, &page);
    assert!(matches!(answer, Err(QueryError::Unsupported(_))), "{answer:?}");
}

#[test]
fn a_store_without_a_text_index_keeps_no_words_and_says_so() {
    let settings = Settings { text_index: false, ..settings() };
    let memory = Memory::over(Connection::open_in_memory().unwrap());
    let mut store = Store::over(memory, &settings).unwrap();
    assert_eq!(write(&mut store, &[with_request("a", json!("panic"))]), Outcome::Ack);
    assert_eq!(cell(&mut store, "SELECT count(*) FROM inference_text"), Value::Integer(0));
    let page = PageRequest { order: Order::NewestFirst, limit: 1, cursor: None };
    let filter = RowFilter { text: Some("panic".into()), ..no_filter() };
    let answer = list::rows(&mut store.database, Table::Inference, &filter, &page);
    assert!(matches!(answer, Err(QueryError::Unsupported(_))), "{answer:?}");
    let Ok(whole) = list::rows(&mut store.database, Table::Inference, &no_filter(), &page) else {
        panic!("all else is answered");
    };
    assert_eq!(whole.items.len(), 1);
}
