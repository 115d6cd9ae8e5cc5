//! Files as meters write them.

use proptest::prelude::*;

use super::*;

fn config() -> ReferenceConfig {
    ReferenceConfig { utc_offset_hours: Some(0.0), ..ReferenceConfig::default() }
}

#[track_caller]
fn reads(text: &str, format: &str, channel: &str, values: &[f64]) -> ReferenceTrace {
    let trace = trace(text.as_bytes(), "file", &config()).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!((trace.format.as_str(), trace.channel.as_str()), (format, channel));
    assert_eq!(trace.values, values);
    assert!(trace.times_s.is_sorted());
    trace
}

const T0: f64 = 1_795_514_400.0;

#[test]
fn a_power_analysers_table_is_found_below_its_preamble() {
    let text = "\"WT310E\",\"Ver 1.04\"\nRange,300V\n\nStore No.,Date,Time,Millisecond,U-1,I-1,P-1\n\
                1,2026/11/24,10:00:00,0,230.1,1.0,220.5\n2,2026/11/24,10:00:00,500,230.1,1.0,221.5\n\
                3,2026/11/24,10:00:01,0,230.1,1.0,-OL-\n4,2026/11/24,10:00:01,500,230.0,1.0,223.5\n";
    let trace = reads(text, "power_csv", "P-1", &[220.5, 221.5, 223.5]);
    assert_eq!(trace.skipped, 1);
    assert!((trace.times_s[1] - T0 - 0.5).abs() < 1e-6);
}

#[test]
fn units_and_decimal_commas_are_understood() {
    let text = "Zeit;x\ntime [s];Power [kW];U [V]\n0,0;0,5;230\n1,0;0,75;230\n2,0;1,0;229\n";
    let trace = reads(text, "power_csv", "Power [kW]", &[500.0, 750.0, 1000.0]);
    assert_eq!(trace.clock, ReferenceClock::Relative);
    let text = "timestamp,energy_wh\n1795514400,1\n1795514401,1.5\n1795514402,2\n";
    let trace = reads(text, "power_csv", "energy_wh", &[3600.0, 5400.0, 7200.0]);
    assert_eq!(trace.quantity, ReferenceQuantity::Energy);
    reads(
        "1795514400,100\n1795514401,110\n1795514402,120\n",
        "power_csv",
        "second column",
        &[100.0, 110.0, 120.0],
    );
}

#[test]
fn of_several_columns_one_must_be_named() {
    let text = "time,P1 (W),P2 (W)\n0,1,10\n1,2,20\n2,3,30\n";
    let error = trace(text.as_bytes(), "file", &config()).unwrap_err();
    assert!(error.to_string().contains("p1 (w), p2 (w)"), "{error}");
    let named = ReferenceConfig { column: Some("P2 (W)".to_owned()), ..config() };
    assert_eq!(trace(text.as_bytes(), "file", &named).unwrap().values, [10.0, 20.0, 30.0]);
    let wrong = ReferenceConfig { column: Some("P3".to_owned()), ..config() };
    assert!(trace(text.as_bytes(), "file", &wrong).unwrap_err().to_string().contains("p3"));
}

#[test]
fn a_log_of_ptdaemon_keeps_its_marks_out() {
    let text = "Time,11-24-2026 10:00:00.221,Watts,22.900000,Volts,228.570000,Amps,0.206430,PF,0.485400,Mark,2026-11-24_10-00_loadgen\n\
                Time,11-24-2026 10:00:01.221,Watts,-1.000000,Volts,228.570000,Amps,0.2,PF,0.48,Mark,notset\n\
                Time,11-24-2026 10:00:02.221,Watts,42.5,Volts,228.570000,Amps,0.2,PF,0.48,Mark,notset\n\
                Time,11-24-2026 10:00:03.221,Watts,43.5,Volts,228.570000,Amps,0.2,PF,0.48,Mark,notset\n";
    let trace = reads(text, "ptdaemon", "Watts", &[22.9, 42.5, 43.5]);
    assert!((trace.times_s[0] - T0 - 0.221).abs() < 1e-6);
    assert_eq!(trace.skipped, 1);
}

#[test]
fn redfish_documents_of_every_kind_give_watts() {
    let power = |second: u32, watts: f64| {
        format!(
            r#"{{"timestamp":"2026-11-24T10:00:0{second}Z","@odata.id":"/redfish/v1/Chassis/1/Power","PowerControl":[{{"PowerConsumedWatts":{watts},"PowerCapacityWatts":2000}}]}}"#
        )
    };
    let lines = [power(0, 300.0), power(1, 310.0), power(2, 320.0)];
    reads(
        &lines.join("\n"),
        "redfish",
        "PowerControl.0.PowerConsumedWatts",
        &[300.0, 310.0, 320.0],
    );
    reads(
        &format!("[{}]", lines.join(",")),
        "redfish",
        "PowerControl.0.PowerConsumedWatts",
        &[300.0, 310.0, 320.0],
    );
    let report = r#"{"Id":"PowerMetrics","MetricValues":[
        {"MetricId":"SystemInputPower","MetricValue":"400","Timestamp":"2026-11-24T10:00:00Z"},
        {"MetricId":"SystemInputPower","MetricValue":"410","Timestamp":"2026-11-24T10:00:01Z"},
        {"MetricId":"FanSpeed","MetricValue":"9000","Timestamp":"2026-11-24T10:00:01Z"},
        {"MetricId":"SystemInputPower","MetricValue":"420","Timestamp":"2026-11-24T10:00:02Z"}]}"#;
    reads(report, "redfish", "SystemInputPower", &[400.0, 410.0, 420.0]);
    let sensor = |second: u32, watts: f64| {
        format!(
            r#"{{"Id":"TotalPower","ReadingUnits":"W","Reading":{watts},"ReadingTime":"2026-11-24T10:00:0{second}Z"}}"#
        )
    };
    reads(
        &[sensor(0, 1.0), sensor(1, 2.0), sensor(2, 3.0)].join("\n"),
        "redfish",
        "TotalPower",
        &[1.0, 2.0, 3.0],
    );
}

#[test]
fn ipmi_takes_the_hosts_time_before_the_service_processors() {
    let block = |watts: u32, second: u32| {
        format!(
            "\n    Instantaneous power reading:                   {watts} Watts\n    Minimum during sampling period:                 13 Watts\n\
             \x20   Average power reading over sample period:      219 Watts\n    IPMI timestamp:                           Tue Nov 24 10:00:0{second} 2026\n\
             \x20   Sampling period:                          00000005 Seconds.\n    Power reading state is:                   activated\n"
        )
    };
    let own = [block(220, 0), block(230, 1), block(240, 2)].concat();
    let trace = reads(&own, "ipmi", "Instantaneous power reading", &[220.0, 230.0, 240.0]);
    assert!((trace.times_s[2] - T0 - 2.0).abs() < 1e-6);
    let hosts: String = (0..3)
        .map(|second| format!("2026-11-24T10:00:1{second}+00:00\n{}", block(220, 0)))
        .collect();
    assert!(
        (reads(&hosts, "ipmi", "Instantaneous power reading", &[220.0; 3]).times_s[2] - T0 - 12.0)
            .abs()
            < 1e-6
    );
    let sdr = "1795514400 Pwr Consumption  | 154 Watts         | ok\n1795514401 Fan1 | 2000 RPM | ok\n\
               1795514401 Pwr Consumption  | 160 Watts         | ok\n1795514402 Pwr Consumption  | no reading | ns\n\
               1795514403 Pwr Consumption  | 158 Watts         | ok\n";
    reads(sdr, "ipmi", "Pwr Consumption", &[154.0, 160.0, 158.0]);
}

#[test]
fn plugs_of_both_makers_give_watts() {
    let shelly = |second: u32, watts: f64| {
        format!(
            r#"{{"ts":179551440{second}.5,"id":0,"output":true,"apower":{watts},"voltage":230.1,"aenergy":{{"total":12.5,"minute_ts":1795514400}}}}"#
        )
    };
    reads(
        &[shelly(0, 100.0), shelly(1, 101.0), shelly(2, 102.5)].join("\n"),
        "smart_plug",
        "apower",
        &[100.0, 101.0, 102.5],
    );
    let tasmota = |second: u32, watts: u32| {
        format!(
            r#"tele/plug/SENSOR {{"Time":"2026-11-24T10:00:0{second}","ENERGY":{{"TotalStartTime":"2026-01-01T00:00:00","Total":1.5,"Power":{watts},"Voltage":230}}}}"#
        )
    };
    let trace = reads(
        &[tasmota(0, 90), tasmota(1, 91), tasmota(2, 92)].join("\n"),
        "smart_plug",
        "ENERGY.Power",
        &[90.0, 91.0, 92.0],
    );
    assert!((trace.times_s[0] - T0).abs() < 1e-6);
}

#[test]
fn what_is_no_meters_file_says_so() {
    let error = |text: &str| trace(text.as_bytes(), "file", &config()).unwrap_err();
    assert_eq!(error("hello"), ParseError::NoForm);
    assert_eq!(error("a,b\n1,2\n"), ParseError::NoColumns);
    assert_eq!(error("time,power\n0,1\n"), ParseError::TooFew { found: 1 });
    let mixed = "time,power\n1,1\n2,1\n1795514400,2\n";
    assert_eq!(error(mixed), ParseError::MixedClocks);
}

#[test]
fn times_of_day_go_on_after_midnight() {
    let text = "Time,Watts\n23:59:59,1\n00:00:00,2\n00:00:01,3\n";
    let trace = reads(text, "power_csv", "Watts", &[1.0, 2.0, 3.0]);
    assert!((trace.times_s[2] - trace.times_s[0] - 2.0).abs() < 1e-9);
}

proptest! {
    #[test]
    fn whatever_a_file_holds_its_readings_are_finite_and_in_order(
        pieces in prop::collection::vec(
            prop::sample::select(vec![
                "time", "Time,", "power", ",Watts,", "11-24-2026 10:00:00", "\n", ",", ";", "\t", "{", "}", "[", "]", ":",
                "\"PowerConsumedWatts\":", "\"timestamp\":", "\"apower\":1", "1795514400", "1e308", "-1", "0", "1", "2.5",
                "|", " Watts ", "Instantaneous power reading:", "IPMI timestamp:", "ms", "kWh", "é", "\u{0}", "23:59:59",
            ]),
            0..60,
        ),
        format in prop::sample::select(&ReferenceFormat::ALL[..]),
    ) {
        let config = ReferenceConfig { format, ..config() };
        if let Ok(trace) = trace(pieces.concat().as_bytes(), "file", &config) {
            prop_assert_eq!(trace.times_s.len(), trace.values.len());
            prop_assert!(trace.times_s.windows(2).all(|pair| pair[0] < pair[1]));
            prop_assert!(trace.values.iter().all(|value| value.is_finite()));
        }
    }
}
