//! The component's export: `serving.service` of `wit/serving.wit` is a [`Service`] in a cell.

use std::cell::RefCell;

use crate::Service;
use crate::one_line::one_line;
use crate::wit::{
    Backend, Batch, Checkpoint, File, Guest, GuestService, Network, OperatorFacts, Outcome, Policy, Request,
    RequestContext, RouterConfig, RowOutputs, export,
};

struct Component;

export!(Component);

impl Guest for Component {
    type Service = RefCell<Service>;
}

/// The contract forbids overlapping calls, so the cell is never borrowed when a call arrives.
impl GuestService for RefCell<Service> {
    fn new(config: RouterConfig) -> Self {
        RefCell::new(Service::new(config))
    }

    fn load(&self, checkpoint: Checkpoint, file: File, backend: Option<Backend>) -> Result<Policy, String> {
        self.borrow_mut().load(checkpoint, file, backend).map_err(|error| one_line(&error))
    }

    fn compare(file: File, facts: OperatorFacts) -> Result<Option<String>, String> {
        Service::compare(file, &facts).map_err(|error| one_line(&error))
    }

    fn convert(file: File, facts: OperatorFacts) -> Result<Vec<u8>, String> {
        Service::convert(file, &facts).map_err(|error| one_line(&error))
    }

    fn card(file: File, facts: OperatorFacts) -> Result<String, String> {
        Service::card(file, &facts).map_err(|error| one_line(&error))
    }

    fn answer(&self, request: Request, context: RequestContext) -> Outcome {
        self.borrow_mut().answer(&request, &context)
    }

    fn forward(&self, part: Batch) -> Result<RowOutputs, String> {
        self.borrow_mut().forward(&part).map_err(|error| one_line(&error))
    }

    fn network(&self) -> Option<Network> {
        self.borrow().network()
    }

    fn decide(&self, states: Vec<f32>, seed: Option<u64>) -> Result<Vec<f32>, String> {
        self.borrow_mut().decide(&states, seed).map_err(|error| one_line(&error))
    }

    fn finish(&self, outputs: RowOutputs) -> Outcome {
        self.borrow_mut().finish(outputs)
    }
}
