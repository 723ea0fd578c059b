//! Shares without floating point.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A share in millionths: 800,000 is 0.8. In JSON a number, exact to the millionth. A utilization of more than 4,294
/// is shown as 4,294.967295.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ratio(pub u32);

impl Ratio {
    /// All of it.
    pub const ONE: Self = Self(1_000_000);

    /// The nearest share in millionths, if it is a number from 0 to 4,294.967295.
    pub fn from_f64(share: f64) -> Option<Self> {
        let millionths = (share * 1e6).round();
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the range is checked")]
        (0.0..=f64::from(u32::MAX)).contains(&millionths).then_some(Self(millionths as u32))
    }

    /// As a floating-point number, for people and JSON.
    pub fn as_f64(self) -> f64 {
        f64::from(self.0) / 1e6
    }

    /// Whether `used` is at least this share of `limit`; both in the same unit.
    pub fn reached(self, used: u64, limit: u64) -> bool {
        u128::from(used) * 1_000_000 >= u128::from(limit) * u128::from(self.0)
    }
}

impl Serialize for Ratio {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(self.as_f64())
    }
}

impl<'de> Deserialize<'de> for Ratio {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::from_f64(f64::deserialize(deserializer)?)
            .ok_or_else(|| serde::de::Error::custom("a share must be a number from 0 to 4294"))
    }
}

#[cfg(test)]
mod tests {
    use super::Ratio;

    #[test]
    fn a_budget_used_thousands_of_times_over_can_be_read_again() {
        for share in [Ratio(4_000_000_001), Ratio(u32::MAX)] {
            let text = serde_json::to_string(&share).unwrap();
            assert_eq!(serde_json::from_str::<Ratio>(&text).ok(), Some(share), "{text}");
        }
    }
}
