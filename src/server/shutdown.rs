//! How the end is announced: from serving to leaving to draining to cut, never back.
//!
//! Who decides about it (signals, deadlines) is not here: see `lifecycle`.

use std::sync::Arc;

use tokio::sync::watch;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    Serving,
    Leaving,
    Draining,
    Cut,
}

/// The handle that ends serving. Clones are the same handle.
#[derive(Clone, Debug)]
pub struct Shutdown(Arc<watch::Sender<Stage>>);

impl Default for Shutdown {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(Stage::Serving)))
    }
}

impl Shutdown {
    /// A handle in the serving stage.
    pub fn new() -> Self {
        Self::default()
    }

    /// Goes on serving, and lets every answer be the last on its connection: so that those who keep connections find other gateways
    /// while this one still answers.
    pub fn leave(&self) {
        self.advance(Stage::Leaving);
    }

    /// Stops accepting, closes idle connections, lets busy ones finish their request.
    pub fn drain(&self) {
        self.advance(Stage::Draining);
    }

    /// Cuts whatever is still open.
    pub fn cut(&self) {
        self.advance(Stage::Cut);
    }

    /// A view for one waiter.
    pub fn watch(&self) -> ShutdownWatch {
        ShutdownWatch(self.0.subscribe())
    }

    fn advance(&self, to: Stage) {
        self.0.send_if_modified(|stage| {
            let forward = *stage < to;
            if forward {
                *stage = to;
            }
            forward
        });
    }

    /// Copies what `global` announces. One such copy per worker keeps the connections of different workers from
    /// contending for the locks inside one channel.
    pub(crate) async fn follow(&self, mut global: ShutdownWatch) {
        global.leaving().await;
        self.leave();
        global.draining().await;
        self.drain();
        global.cut().await;
        self.cut();
    }
}

/// What a waiter sees of a [`Shutdown`]. Where every handle is gone, the end counts as announced: nobody could do so any
/// more.
#[derive(Clone, Debug)]
pub struct ShutdownWatch(watch::Receiver<Stage>);

impl ShutdownWatch {
    /// Whether the drain has begun.
    pub fn is_draining(&self) -> bool {
        *self.0.borrow() >= Stage::Draining
    }

    /// Waits until each answer should be the last on its connection; a drain is such a time too.
    pub async fn leaving(&mut self) {
        self.reached(Stage::Leaving).await;
    }

    /// Waits until the drain begins.
    pub async fn draining(&mut self) {
        self.reached(Stage::Draining).await;
    }

    /// Waits until everything is cut.
    pub async fn cut(&mut self) {
        self.reached(Stage::Cut).await;
    }

    async fn reached(&mut self, wanted: Stage) {
        // The error says that every handle is gone, which means the same here.
        let _ = self.0.wait_for(|stage| *stage >= wanted).await;
    }
}

#[cfg(test)]
mod tests {
    use super::Shutdown;

    #[tokio::test]
    async fn a_cut_is_a_drain_too_and_nothing_goes_back() {
        let shutdown = Shutdown::new();
        let mut watch = shutdown.watch();
        assert!(!watch.is_draining());
        shutdown.cut();
        shutdown.drain();
        watch.leaving().await;
        watch.draining().await;
        watch.cut().await;
    }

    #[tokio::test]
    async fn who_leaves_does_not_drain_yet() {
        let shutdown = Shutdown::new();
        let mut watch = shutdown.watch();
        shutdown.leave();
        watch.leaving().await;
        assert!(!watch.is_draining());
    }

    #[tokio::test]
    async fn a_follower_repeats_every_stage() {
        let (global, local) = (Shutdown::new(), Shutdown::new());
        let mut watch = local.watch();
        global.leave();
        let follow = local.follow(global.watch());
        tokio::pin!(follow);
        tokio::select! {
            () = &mut follow => unreachable!("nothing was cut yet"),
            () = watch.leaving() => assert!(!watch.is_draining()),
        }
        global.drain();
        tokio::select! {
            () = &mut follow => unreachable!("nothing was cut yet"),
            () = watch.draining() => {}
        }
        global.cut();
        follow.await;
        watch.cut().await;
    }
}
