//! stub for the compiler, replaced below
use crate::{server::plan::Discover, session::group::Group};
use std::{rc::Rc, sync::Arc, time::Duration};
pub struct Discovery;
pub struct Discoverer(Arc<Discovery>);
impl Discoverer {
    pub fn new(_: Arc<Group>, _: Discover, _: bool, _: Rc<dyn Fn(String)>) -> Self {
        Discoverer(Arc::new(Discovery))
    }
    pub fn state(&self) -> Arc<Discovery> {
        self.0.clone()
    }
    pub async fn ask(&mut self) -> Duration {
        Duration::from_secs(1)
    }
}
