// SPDX-License-Identifier: Apache-2.0
//
// NAT's control side while the gateway runs: what workers tell is written down, memory for their
// sessions is made ready before they need it, numbers that rest in the plan are freed, and
// questions of operators are brought to the workers and back.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "api/control.h"
#include "gateway/compile.h"
#include "gateway/nat_log.h"
#include "gateway/worker.h"

namespace hnv {

class NatControl {
 public:
  using Workers = std::vector<std::unique_ptr<Worker>>;

  // `workers` must outlive it.
  NatControl(const NatConfig& config, const Workers& workers);

  // --- control thread ---
  // Twice a second or so.
  void tick(const Compiled& compiled, Instant now);
  // The serial of the plan that every worker has swept.
  [[nodiscard]] uint64_t swept() const;
  [[nodiscard]] std::vector<NatTable*> tables() const;
  // Names of domains, for records that come when the domain is gone.
  void learn_names(const Compiled& compiled);

  // --- http pool ---
  [[nodiscard]] Result<NatSessionList> sessions(const NatRequest::Filter& filter,
                                                const NatSessionPage& page) const;
  [[nodiscard]] Result<uint64_t> end(const NatRequest::Filter& filter);
  [[nodiscard]] std::optional<NatPoolState> pool_state(const NatPlan& plan,
                                                       const std::string& pool) const;

 private:
  // Brings the request to the worker and waits. An error: it did not answer in time.
  [[nodiscard]] Result<void> ask(unsigned worker, const std::shared_ptr<NatRequest>& request) const;

  const Workers& workers_;
  NatLog log_;
  std::map<uint64_t, std::string> names_;  // by compartment uid
  uint64_t names_known_at_ = 0;            // the plan's serial
  std::vector<uint32_t> populated_;        // by worker
  uint64_t lost_told_ = 0;

  mutable std::mutex mutex_;  // among those who ask; workers never take it
  mutable std::vector<std::shared_ptr<NatRequest>> under_way_;  // by worker
};

// What the API asks for, in the workers' terms.
[[nodiscard]] NatRequest::Filter filter_of(CompartmentId domain, const NatSessionFilter& filter);

}  // namespace hnv
