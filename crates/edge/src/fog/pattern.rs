//! Which topics a pipeline is for, which data types a stage is for, and which actuator a rule drives.

use protocol::{DeviceTopic, Direction, Name};

/// Which sites a pattern is for.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Sites {
    /// `+`: every one, however many levels its name has.
    Every,
    /// This one.
    One(Name),
    /// Those with as many levels, and these; `None` is any level.
    Levels(Vec<Option<Name>>),
}

impl Sites {
    fn new(text: &str) -> Result<Self, String> {
        if text == "+" {
            return Ok(Self::Every);
        }
        let levels = text.split('/').map(level).collect::<Result<Vec<_>, _>>()?;
        // any level does for a look at the name as a whole
        let site = Name::site(&text.replace('+', "x")).map_err(|why| format!("{text:?} cannot be a site: {why}"))?;
        Ok(if levels.iter().any(Option::is_none) { Self::Levels(levels) } else { Self::One(site) })
    }

    fn has(&self, site: &Name) -> bool {
        match self {
            Self::Every => true,
            Self::One(one) => one == site,
            Self::Levels(levels) => {
                let found = site.as_str().split('/');
                found.clone().count() == levels.len()
                    && found.zip(levels).all(|(found, level)| level.as_ref().is_none_or(|level| level.as_str() == found))
            }
        }
    }
}

/// `site/ID/sense|act/<dataType>`; `+` stands for any level. It is read from its end: a site may have several levels, and
/// `+` alone stands for every site.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pattern {
    sites: Sites,
    device: Option<Name>,
    direction: Option<Direction>,
    data_type: Option<Name>,
    text: String,
}

impl Pattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn new(text: &str) -> Result<Self, String> {
        if let Some(rest) = text.strip_prefix("root/device/") {
            return Err(format!("leave out root/device/: write {rest:?}"));
        }
        let levels: Vec<&str> = text.rsplitn(4, '/').collect();
        let &[data_type, direction, device, site] = levels.as_slice() else {
            return Err(format!("{text:?} has not four levels: write site/ID/sense|act/<dataType>, + for any level"));
        };
        Ok(Self {
            sites: Sites::new(site)?,
            device: level(device)?,
            direction: match direction {
                "+" => None,
                "sense" => Some(Direction::Sense),
                "act" => Some(Direction::Act),
                other => return Err(format!("{other:?} must be sense, act or +")),
            },
            data_type: level(data_type)?,
            text: text.to_owned(),
        })
    }

    /// Whether it is for `topic`. A data type is also that of what is told under it: `power` takes `power.voltage`.
    pub(crate) fn takes(&self, topic: &DeviceTopic) -> bool {
        let is = |wanted: &Option<Name>, found: &Name| wanted.as_ref().is_none_or(|wanted| wanted == found);
        let under = |wanted: &Name| {
            let rest = topic.data_type.as_str().strip_prefix(wanted.as_str());
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        self.sites.has(&topic.site)
            && is(&self.device, &topic.device)
            && self.direction.is_none_or(|direction| direction == topic.direction)
            && self.data_type.as_ref().is_none_or(under)
    }

    /// As it was written.
    pub(crate) fn as_str(&self) -> &str {
        &self.text
    }
}

fn level(text: &str) -> Result<Option<Name>, String> {
    match text {
        "+" => Ok(None),
        "#" => Err("# is not for pipelines: write + for each level".to_owned()),
        name => Name::new(name).map(Some).map_err(|why| format!("{name:?} cannot be a level: {why}")),
    }
}

/// The actuator that a rule drives: `+` is the site, or the device, of the reading.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    site: Option<Name>,
    device: Option<Name>,
    /// What is driven.
    pub(crate) data_type: Name,
}

impl Target {
    /// Reads `site/ID/act/<dataType>`.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn new(text: &str) -> Result<Self, String> {
        let pattern = Pattern::new(text)?;
        if pattern.direction != Some(Direction::Act) {
            return Err(format!("{text:?} is no actuator: write site/ID/act/<dataType>, + for the reading's own site or device"));
        }
        let data_type = pattern.data_type.ok_or_else(|| format!("{text:?} must name the data type to publish"))?;
        let site = match pattern.sites {
            Sites::Every => None,
            Sites::One(site) => Some(site),
            Sites::Levels(_) => return Err(format!("{text:?} must name the whole site, or write + for the reading's own")),
        };
        Ok(Self { site, device: pattern.device, data_type })
    }

    /// The actuator for a reading of `source`.
    pub(crate) fn of(&self, source: &DeviceTopic) -> DeviceTopic {
        DeviceTopic {
            site: self.site.clone().unwrap_or_else(|| source.site.clone()),
            device: self.device.clone().unwrap_or_else(|| source.device.clone()),
            direction: Direction::Act,
            data_type: self.data_type.clone(),
        }
    }
}

/// Which data types a stage is for. One that ends in `*` is for all that begin so; an empty list is for all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Selector {
    exact: Vec<Name>,
    beginnings: Vec<String>,
}

impl Selector {
    /// A selector for exactly these.
    pub(crate) fn of(exact: Vec<Name>) -> Self {
        Self { exact, beginnings: Vec::new() }
    }

    /// Adds one.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn add(&mut self, text: &str) -> Result<(), String> {
        match text.strip_suffix('*') {
            Some(beginning) => self.beginnings.push(beginning.to_owned()),
            None => self.exact.push(Name::new(text).map_err(|why| format!("{text:?} cannot be a data type: {why}"))?),
        }
        Ok(())
    }

    /// Whether it names nothing.
    pub(crate) fn is_empty(&self) -> bool {
        self.exact.is_empty() && self.beginnings.is_empty()
    }

    /// Whether it is for `data_type`.
    pub(crate) fn takes(&self, data_type: &Name) -> bool {
        self.is_empty()
            || self.exact.contains(data_type)
            || self.beginnings.iter().any(|beginning| data_type.as_str().starts_with(beginning.as_str()))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::{Pattern, Selector, Target};

    #[test]
    fn patterns_take_levels_and_what_is_under_a_data_type() {
        for (pattern, topic, takes) in [
            ("plant/+/sense/power", "plant/m1/sense/power", true),
            ("plant/+/sense/power", "plant/m1/sense/power.voltage", true),
            ("plant/+/sense/power", "plant/m1/sense/powerful", false),
            ("plant/+/sense/power", "plant/m1/act/power", false),
            ("plant/+/sense/power", "other/m1/sense/power", false),
            ("+/m1/+/+", "other/m1/act/x", true),
            ("+/m1/+/+", "other/m2/act/x", false),
            ("+/+/sense/power.voltage", "plant/m1/sense/power", false),
            ("+/m1/sense/power", "agg1/loc1/m1/sense/power", true),
            ("agg1/loc1/+/sense/power", "agg1/loc1/m1/sense/power", true),
            ("agg1/loc1/+/sense/power", "agg1/loc2/m1/sense/power", false),
            ("agg1/loc1/+/sense/power", "agg1/m1/sense/power", false),
            ("agg1/+/m1/sense/power", "agg1/loc2/m1/sense/power", true),
            ("agg1/+/m1/sense/power", "agg2/loc2/m1/sense/power", false),
            ("agg1/+/m1/sense/power", "agg1/m1/sense/power", false),
            ("agg1/+/m1/sense/power", "agg1/a/b/m1/sense/power", false),
            ("+/+/m1/sense/power", "agg1/loc2/m1/sense/power", true),
            ("+/+/m1/sense/power", "plant/m1/sense/power", false),
        ] {
            assert_eq!(Pattern::new(pattern).unwrap().takes(&topic.parse().unwrap()), takes, "{pattern} {topic}");
        }
        for bad in [
            "",
            "a/b/sense",
            "a/b/sense/c/d",
            "a/b/feel/c",
            "a/b/sense/#",
            "#/b/sense/c",
            "root/device/a/b/sense/c",
            "a//sense/c",
            "a/b+/sense/c",
            "a//b/sense/c",
            "a/act/b/sense/c",
            "a/+/act/b/sense/c",
            "a/b/c/d/e/m1/sense/c",
            "a/+/c/d/e/m1/sense/c",
        ] {
            assert!(Pattern::new(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_target_is_an_actuator() {
        let source = "plant/m1/sense/temperature".parse().unwrap();
        assert_eq!(Target::new("+/+/act/fan").unwrap().of(&source).to_string(), "plant/m1/act/fan");
        assert_eq!(Target::new("+/roof/act/fan").unwrap().of(&source).to_string(), "plant/roof/act/fan");
        let source = "agg1/loc1/m1/sense/temperature".parse().unwrap();
        assert_eq!(Target::new("+/+/act/fan").unwrap().of(&source).to_string(), "agg1/loc1/m1/act/fan");
        assert_eq!(Target::new("agg1/loc2/+/act/fan").unwrap().of(&source).to_string(), "agg1/loc2/m1/act/fan");
        for bad in ["+/+/sense/fan", "+/+/+/fan", "+/+/act/+", "agg1/+/m1/act/fan", "fan"] {
            assert!(Target::new(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn selectors_take_names_and_beginnings() {
        let mut selector = Selector::default();
        let name = |text: &str| text.parse().unwrap();
        assert!(selector.takes(&name("anything")));
        selector.add("power").unwrap();
        selector.add("climate.*").unwrap();
        assert!(selector.takes(&name("power")) && selector.takes(&name("climate.temperature")));
        assert!(!selector.takes(&name("power.voltage")) && !selector.takes(&name("climate")));
        assert!(selector.add("a/b").is_err());
    }
}
