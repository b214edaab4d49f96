#![expect(clippy::unwrap_used, reason = "tests")]

use proptest::prelude::*;

use super::*;

const CREDENTIALS: &str = "\
# made by hand
[default]
aws_access_key_id = AKIADEFAULT
aws_secret_access_key=a/b+c=d # mine

[team one] ; two words
AWS_ACCESS_KEY_ID = AKIATEAM
aws_secret_access_key =
s3 =
  aws_secret_access_key = nested
not a setting
";

#[test]
fn a_profile_is_read_as_aws_reads_it() {
    let default = read_profile(CREDENTIALS, Headings::Bare, "default").unwrap();
    assert_eq!(default["aws_access_key_id"], "AKIADEFAULT");
    assert_eq!(default["aws_secret_access_key"], "a/b+c=d");
    let team = read_profile(CREDENTIALS, Headings::Bare, "team one").unwrap();
    assert_eq!(team["aws_access_key_id"], "AKIATEAM");
    assert!(!team.contains_key("aws_secret_access_key"), "neither empty nor nested");
    assert!(read_profile(CREDENTIALS, Headings::Bare, "team").is_none());
}

#[test]
fn the_two_files_head_profiles_differently() {
    let config =
        "[default]\na=1\n[profile x]\na=2\n[profile \"y z\"]\na=3\n[x]\na=4\n[profilex]\na=5";
    let of = |name| read_profile(config, Headings::Prefixed, name).map(|found| found["a"].clone());
    assert_eq!(of("default").unwrap(), "1");
    assert_eq!(of("x").unwrap(), "2");
    assert_eq!(of("y z").unwrap(), "3");
    assert_eq!(of("profilex"), None);
    assert_eq!(read_profile(config, Headings::Bare, "x").unwrap()["a"], "4");
}

proptest! {
    #[test]
    fn no_text_breaks_the_reader(text in "(\\[|\\]|profile|default|=|#|;| |\t|\n|é|\"|a){0,60}") {
        for headings in [Headings::Bare, Headings::Prefixed] {
            let _ = read_profile(&text, headings, "default");
        }
    }

    #[test]
    fn what_was_written_is_read(value in "[A-Za-z0-9/+=]{1,40}") {
        let text = format!("[other]\nk=x\n[default]\nk = {value}\r\n");
        let found = read_profile(&text, Headings::Bare, "default").unwrap();
        prop_assert_eq!(&found["k"], &value);
    }
}
