//! InfluxDB's annotated CSV: the answer to a Flux query.
//!
//! Each table begins with lines of annotations, whose first cell begins with
//! `#`, then comes its header, then its rows.

use std::collections::BTreeMap;

use csv::StringRecord;
use tidemill_domain::Timestamp;

use crate::{Error, FieldValue, Point};

type PointKey = (Timestamp, BTreeMap<String, String>);

/// The points of a measurement, by time and tags, whose rows each have one field.
pub(crate) fn points(measurement: &str, text: &str) -> Result<Vec<Point>, Error> {
    let mut points: BTreeMap<PointKey, BTreeMap<String, FieldValue>> = BTreeMap::new();
    let (mut types, mut header) = (StringRecord::new(), None);
    // Tables differ in their columns.
    for record in csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(text.as_bytes()).records() {
        let record = record.map_err(|e| Error::Unavailable(format!("its answer is no CSV: {e}")))?;
        match (record.get(0).unwrap_or_default(), &header) {
            ("#datatype", _) => (types, header) = (record, None),
            (annotation, _) if annotation.starts_with('#') => header = None,
            (_, None) => header = Some(record),
            (_, Some(names)) => {
                let row = AnnotatedRow { names, types: &types, cells: &record };
                if let Some(error) = row.get("error") {
                    return Err(Error::Unavailable(error.into()));
                }
                let ((time, tags), field, value) =
                    row.read().ok_or_else(|| Error::Unavailable("its answer has a strange row".into()))?;
                points.entry((time, tags)).or_default().insert(field, value);
            }
        }
    }
    let point = |((time, tags), fields)| Point { measurement: measurement.into(), tags, fields, time };
    Ok(points.into_iter().map(point).collect())
}

struct AnnotatedRow<'r> {
    names: &'r StringRecord,
    types: &'r StringRecord,
    cells: &'r StringRecord,
}

impl<'r> AnnotatedRow<'r> {
    /// Its cells, as (name, type, value).
    fn cells(&self) -> impl Iterator<Item = (&'r str, &'r str, &'r str)> {
        self.names.iter().zip(self.types).zip(self.cells).map(|((name, kind), cell)| (name, kind, cell))
    }

    fn get(&self, wanted: &str) -> Option<&'r str> {
        self.cells().find(|(name, ..)| *name == wanted).map(|(.., cell)| cell)
    }

    fn read(&self) -> Option<(PointKey, String, FieldValue)> {
        let time = self.get("_time")?.parse().ok()?;
        let (_, kind, value) = self.cells().find(|(name, ..)| *name == "_value")?;
        let value = match kind {
            "long" => FieldValue::Integer(value.parse().ok()?),
            "double" => FieldValue::Float(value.parse().ok()?),
            _ => return None,
        };
        let is_tag = |name: &str, kind: &str, cell: &str| {
            kind == "string" && !cell.is_empty() && !name.starts_with('_') && name != "result"
        };
        let tags = self.cells().filter(|(name, kind, cell)| is_tag(name, kind, cell));
        let tags = tags.map(|(name, _, cell)| (name.to_owned(), cell.to_owned())).collect();
        Some(((time, tags), self.get("_field")?.to_owned(), value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As InfluxDB 2.7 answers, with two tables.
    const ANSWER: &str = "#datatype,string,long,dateTime:RFC3339,dateTime:RFC3339,dateTime:RFC3339,long,string,string,string\r\n\
        #group,false,false,true,true,false,false,true,true,false\r\n\
        #default,_result,,,,,,,,\r\n\
        ,result,table,_start,_stop,_time,_value,_field,_measurement,region\r\n\
        ,,0,1970-01-01T00:00:00Z,1970-01-01T00:01:00Z,1970-01-01T00:00:01Z,42,orders,sales,\"a,\"\"b\"\"\"\r\n\
        ,,0,1970-01-01T00:00:00Z,1970-01-01T00:01:00Z,1970-01-01T00:00:02.5Z,-1,orders,sales,\r\n\
        \r\n\
        #datatype,string,long,dateTime:RFC3339,double,string,string,string\r\n\
        #group,false,false,false,false,true,true,false\r\n\
        #default,_result,,,,,,\r\n\
        ,result,table,_time,_value,_field,_measurement,region\r\n\
        ,,1,1970-01-01T00:00:01Z,0.5,revenue,sales,\"a,\"\"b\"\"\"\r\n\r\n";

    #[test]
    fn tables_are_joined_into_points() {
        let points = points("sales", ANSWER).expect("reads");
        assert_eq!(points.len(), 2);
        assert_eq!(points[0].time.millis(), 1000);
        assert_eq!(points[0].tags, BTreeMap::from([("region".to_owned(), "a,\"b\"".to_owned())]));
        let fields = [("orders", FieldValue::Integer(42)), ("revenue", FieldValue::Float(0.5))];
        assert_eq!(points[0].fields, fields.map(|(name, value)| (name.to_owned(), value)).into());
        assert_eq!((points[1].time.millis(), points[1].tags.len()), (2500, 0));
    }

    #[test]
    fn an_error_in_the_answer_is_one() {
        let error = "#datatype,string,string\r\n,error,reference\r\n,out of memory,897\r\n";
        assert!(points("sales", error).expect_err("told").to_string().contains("out of memory"));
        assert_eq!(points("sales", "\r\n").expect("nothing found"), []);
        let strange = "#datatype,string,long\r\n,_field,_value\r\n,a,1\r\n";
        let error = points("sales", strange).expect_err("it has no time").to_string();
        assert_eq!(error, "InfluxDB is not available: its answer has a strange row");
    }
}
