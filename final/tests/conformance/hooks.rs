pub(crate) fn all() -> Vec<crate::Behaviour> { vec![] }
