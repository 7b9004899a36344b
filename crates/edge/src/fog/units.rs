//! Units and what they are of each other: the primary units of RFC 8428 §12.1 that others are measured in, the
//! secondary ones of RFC 8798, and a few that devices use.

/// A unit: a value in it is `value * multiply / divide + add` in its base.
struct Unit {
    symbol: &'static str,
    base: &'static str,
    multiply: f64,
    divide: f64,
    add: f64,
}

const fn base(symbol: &'static str) -> Unit {
    Unit { symbol, base: symbol, multiply: 1.0, divide: 1.0, add: 0.0 }
}

const fn times(symbol: &'static str, base: &'static str, multiply: f64) -> Unit {
    Unit { symbol, base, multiply, divide: 1.0, add: 0.0 }
}

const fn part(symbol: &'static str, base: &'static str, divide: f64) -> Unit {
    Unit { symbol, base, multiply: 1.0, divide, add: 0.0 }
}

/// 0 °F in kelvin: 459.67 · 5 / 9.
const FAHRENHEIT_ZERO_K: f64 = 2_298.35 / 9.0;

static UNITS: [Unit; 105] = [
    // time
    base("s"),
    part("ms", "s", 1e3),
    part("us", "s", 1e6),
    times("min", "s", 60.0),
    times("h", "s", 3_600.0),
    times("d", "s", 86_400.0),
    // length, speed, rain
    base("m"),
    part("mm", "m", 1e3),
    part("cm", "m", 1e2),
    times("km", "m", 1e3),
    base("m/s"),
    part("km/h", "m/s", 3.6),
    part("mm/h", "m/s", 3.6e6),
    part("m/h", "m/s", 3_600.0),
    base("m/s2"),
    times("gn", "m/s2", 9.806_65),
    // mass, volume, flow
    base("kg"),
    part("g", "kg", 1e3),
    part("mg", "kg", 1e6),
    times("t", "kg", 1e3),
    base("m3"),
    part("l", "m3", 1e3),
    part("ml", "m3", 1e6),
    base("m3/s"),
    part("l/s", "m3/s", 1e3),
    part("m3/h", "m3/s", 3_600.0),
    base("kg/m3"),
    part("ug/m3", "kg/m3", 1e9),
    part("mg/m3", "kg/m3", 1e6),
    // temperature
    base("K"),
    Unit { symbol: "Cel", base: "K", multiply: 1.0, divide: 1.0, add: 273.15 },
    Unit { symbol: "degF", base: "K", multiply: 5.0, divide: 9.0, add: FAHRENHEIT_ZERO_K },
    // pressure
    base("Pa"),
    times("hPa", "Pa", 1e2),
    times("kPa", "Pa", 1e3),
    times("mbar", "Pa", 1e2),
    times("bar", "Pa", 1e5),
    // electricity
    base("V"),
    part("mV", "V", 1e3),
    times("kV", "V", 1e3),
    base("A"),
    part("mA", "A", 1e3),
    base("W"),
    part("mW", "W", 1e3),
    times("kW", "W", 1e3),
    times("MW", "W", 1e6),
    base("VA"),
    times("kVA", "VA", 1e3),
    base("var"),
    times("kvar", "var", 1e3),
    base("C"),
    times("Ah", "C", 3_600.0),
    base("J"),
    times("Wh", "J", 3_600.0),
    times("kWh", "J", 3.6e6),
    times("MWh", "J", 3.6e9),
    base("VAs"),
    times("VAh", "VAs", 3_600.0),
    times("kVAh", "VAs", 3.6e6),
    base("vars"),
    times("varh", "vars", 3_600.0),
    times("kvarh", "vars", 3.6e6),
    // frequency, angle, information
    base("Hz"),
    times("kHz", "Hz", 1e3),
    times("MHz", "Hz", 1e6),
    base("rad"),
    times("deg", "rad", std::f64::consts::PI / 180.0),
    base("B"),
    times("KiB", "B", 1_024.0),
    times("GB", "B", 1e9),
    // shares
    base("/"),
    part("%", "/", 1e2),
    part("/100", "/", 1e2),
    part("/1000", "/", 1e3),
    part("ppm", "/", 1e6),
    // what is told in one unit only
    base("%RH"),
    base("lx"),
    base("lm"),
    base("cd"),
    base("cd/m2"),
    base("mol"),
    base("N"),
    base("T"),
    base("F"),
    base("H"),
    base("S"),
    base("S/m"),
    base("ohm"),
    base("W/m2"),
    base("Bq"),
    base("Sv"),
    base("pH"),
    base("lat"),
    base("lon"),
    base("dB"),
    base("bit/s"),
    base("count"),
    base("beat/min"),
    base("1/s"),
    base("1/min"),
    base("EL"),
    base("%EL"),
    base("deg/s"),
    base("dBW"),
    Unit { symbol: "dBm", base: "dBW", multiply: 1.0, divide: 1.0, add: -30.0 },
];

/// `value`, given in `from`, in `to`; `None` if the two do not measure the same, or are unknown and differ.
pub(crate) fn convert(value: f64, from: &str, to: &str) -> Option<f64> {
    if from == to {
        return Some(value);
    }
    let (from, to) = (find(from)?, find(to)?);
    let in_base = value * from.multiply / from.divide + from.add;
    (from.base == to.base).then_some((in_base - to.add) * to.divide / to.multiply)
}

/// Whether values can be converted to `symbol` at all.
pub(crate) fn is_known(symbol: &str) -> bool {
    find(symbol).is_some()
}

fn find(symbol: &str) -> Option<&'static Unit> {
    UNITS.iter().find(|unit| unit.symbol == symbol)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::{UNITS, convert};
    use protocol::limits::UNIT_BYTES_MAX;
    use std::collections::BTreeSet;

    #[test]
    fn every_unit_has_a_base_and_returns() {
        let symbols: BTreeSet<&str> = UNITS.iter().map(|unit| unit.symbol).collect();
        assert_eq!(symbols.len(), UNITS.len(), "a symbol stands twice");
        for unit in &UNITS {
            assert!(unit.symbol.len() <= UNIT_BYTES_MAX);
            assert!(UNITS.iter().any(|base| base.symbol == unit.base && base.base == unit.base), "{}", unit.symbol);
            let there = convert(12.5, unit.symbol, unit.base).unwrap();
            let back = convert(there, unit.base, unit.symbol).unwrap();
            assert!((back - 12.5).abs() < 1e-9, "{}: {back}", unit.symbol);
        }
    }

    #[test]
    fn known_quantities() {
        for (value, from, to, expected) in [
            (1.5, "kW", "W", 1_500.0),
            (3.0, "mV", "V", 0.003),
            (0.0, "Cel", "K", 273.15),
            (212.0, "degF", "Cel", 100.0),
            (-40.0, "Cel", "degF", -40.0),
            (1_013.25, "hPa", "Pa", 101_325.0),
            (2.0, "kWh", "Wh", 2_000.0),
            (36.0, "km/h", "m/s", 10.0),
            (50.0, "%", "/", 0.5),
            (180.0, "deg", "rad", std::f64::consts::PI),
        ] {
            let found = convert(value, from, to).unwrap();
            assert!((found - expected).abs() <= 1e-9 * expected.abs().max(1.0), "{value} {from} is {found} {to}");
        }
        assert_eq!(convert(7.0, "furlong", "furlong"), Some(7.0));
        assert_eq!(convert(1.0, "W", "V"), None);
        assert_eq!(convert(1.0, "furlong", "m"), None);
    }
}
