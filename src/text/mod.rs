//! One way each to print a thing: what peers sent, hexadecimal digits, moments, amounts, tables.

pub mod escape;
pub mod hex;
pub mod moment;
pub mod safe;
pub mod table;
pub mod units;
