//! A mean over seeds, and how sure it is.

/// Two-sided 95 % quantiles of Student's t distribution for 1 to 30 degrees of freedom; beyond, the normal one.
const STUDENT_95: [f64; 30] = [
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131, 2.120, 2.110, 2.101, 2.093,
    2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042,
];
const NORMAL_95: f64 = 1.96;

/// A mean over seeds with its 95 % confidence interval; a single seed has none, so both ends are the mean.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Band {
    /// Mean.
    pub mean: f64,
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

impl Band {
    /// Over samples; nothing if there are none.
    #[must_use]
    pub fn over(samples: &[f64]) -> Option<Self> {
        let count = samples.len();
        let freedom = count.checked_sub(1)?;
        let mean = samples.iter().sum::<f64>() / count as f64;
        let Some(last) = freedom.checked_sub(1) else { return Some(Self { mean, low: mean, high: mean }) };
        let variance = samples.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>() / freedom as f64;
        let half = STUDENT_95.get(last).unwrap_or(&NORMAL_95) * (variance / count as f64).sqrt();
        Some(Self { mean, low: mean - half, high: mean + half })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_band_holds_the_mean_and_narrows() {
        assert_eq!(Band::over(&[]), None);
        assert_eq!(Band::over(&[3.0]), Some(Band { mean: 3.0, low: 3.0, high: 3.0 }));
        let two = Band::over(&[1.0, 3.0]).unwrap();
        assert!((two.high - two.mean - 12.706).abs() < 1e-9 && two.mean == 2.0);
        let many: Vec<f64> = (0..100).map(|n| f64::from(n % 3)).collect();
        let band = Band::over(&many).unwrap();
        assert!(band.low < band.mean && band.high - band.low < 0.4);
    }
}
