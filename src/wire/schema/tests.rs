//! The table is whole, JSON looks as Jackson writes it, and no bytes take more than they are.

use super::*;

fn read(name: &str, version: i16, bytes: &[u8]) -> String {
    let (json, len) = Schema::named(name).unwrap().read(bytes, version).unwrap();
    assert_eq!(len, bytes.len());
    json.to_string()
}

#[test]
fn every_line_of_the_table_is_understood() {
    let schemas = parse::schemas(include_str!("records.txt")).unwrap();
    assert_eq!(schemas.len(), SCHEMAS.len());
    assert_eq!(Schema::of(Family::Metadata, 20).unwrap().constant(), "NO_OP_RECORD");
    assert_eq!(Schema::of(Family::GroupValue, 2).unwrap().name(), "GroupMetadataValue");
    assert!(Schema::of(Family::Metadata, 99).is_none());
    for schema in &schemas {
        assert!(schema.versions.contains(0), "{}", schema.name);
        let twins = schemas.iter().filter(|other| {
            (other.family, other.api_key, other.name)
                == (schema.family, schema.api_key, schema.name)
        });
        assert_eq!(twins.count(), 1, "{}", schema.name);
    }
    assert_eq!(parse::schemas("data - A 0 flexible none\n  a string\n"), Err((2, "not a field")));
}

#[test]
fn tagged_field_is_shown_where_it_is_not_its_default() {
    // No fields but a tag: `reason`.
    assert_eq!(read("AbortTransactionRecord", 0, &[0]), "{}");
    assert_eq!(read("AbortTransactionRecord", 0, &[1, 0, 3, 3, b'n', b'o']), r#"{"reason":"no"}"#);
    assert_eq!(read("AbortTransactionRecord", 0, &[1, 0, 1, 0]), "{}", "null is its default");
    assert_eq!(read("AbortTransactionRecord", 0, &[1, 9, 1, 0]), "{}", "an unknown tag");
}

#[test]
fn tagged_struct_is_null_in_a_way_of_its_own() {
    // Nothing set but the tagged struct: null, with its defaults, and with something in it.
    let member = |tagged: &[u8]| {
        let bytes = [&[0, 0, 1, 1, 1, 0, 0, 0, 0, 0, 0, 1, 0, tagged.len() as u8], tagged].concat();
        read("ConsumerGroupMemberMetadataValue", 0, &bytes)
    };
    assert!(member(&[0]).ends_with(r#""serverAssignor":null,"classicMemberMetadata":null}"#));
    assert!(member(&[1, 0, 0, 0, 0, 1, 0]).ends_with(r#""serverAssignor":null}"#));
    let one = member(&[1, 0, 0, 0, 9, 1, 0]);
    assert!(one.ends_with(r#"{"sessionTimeoutMs":9,"supportedProtocols":[]}}"#), "{one}");
}

#[test]
fn versions_decide_which_fields_there_are() {
    let old = [&7i64.to_be_bytes()[..], &[0, 1, b'm'], &1i64.to_be_bytes()].concat();
    assert_eq!(
        read("OffsetCommitValue", 0, &old),
        r#"{"offset":7,"metadata":"m","commitTimestamp":1}"#
    );
    let schema = Schema::named("OffsetCommitValue").unwrap();
    let error = schema.read(&old, 9).unwrap_err();
    assert_eq!(error.to_string(), "OffsetCommitValue has no version 9");
    let error = schema.read(&old[..10], 0).unwrap_err();
    assert_eq!(error.to_string(), "OffsetCommitValue at byte 10: the bytes end within a field");
}

#[test]
fn array_that_claims_more_than_there_is_takes_no_memory() {
    // Group type, generation, no protocol, no leader, two billion members.
    let bytes = [&[0, 0, 0, 0, 0, 0, 255, 255, 255, 255][..], &i32::MAX.to_be_bytes()].concat();
    let error = Schema::named("GroupMetadataValue").unwrap().read(&bytes, 0).unwrap_err();
    assert!(error.to_string().contains("more elements than there are bytes"), "{error}");
}

#[test]
fn json_is_written_as_jackson_writes_it() {
    let json = Json::Object(vec![
        ("text", Json::Text("a \"b\" \\ \n \u{1f} é".to_owned())),
        ("bytes", Json::Binary(b"abcd".to_vec())),
        (
            "doubles",
            Json::Array([12.5, 1e7, 123_456_789.0, 0.0001, 0.0].map(Json::Double).to_vec()),
        ),
        ("none", Json::Null),
        ("yes", Json::Bool(true)),
    ]);
    assert_eq!(
        json.to_string(),
        "{\"text\":\"a \\\"b\\\" \\\\ \\n \\u001F é\",\"bytes\":\"YWJjZA==\",\
         \"doubles\":[12.5,1.0E7,1.23456789E8,1.0E-4,0.0],\"none\":null,\"yes\":true}"
    );
}
