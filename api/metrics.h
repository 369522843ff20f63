// SPDX-License-Identifier: Apache-2.0
//
// The gateway's counters for Prometheus. Families are built from Control's state when they are
// scraped; nothing is counted here. Labels are bounded: port, station, reason, domain.
#pragma once

#include <vector>

#include <prometheus/collectable.h>
#include <prometheus/metric_family.h>

#include "api/routes.h"

namespace hnv {

class GatewayMetrics : public prometheus::Collectable {
 public:
  explicit GatewayMetrics(const Control& control) : control_(control) {}
  [[nodiscard]] std::vector<prometheus::MetricFamily> Collect() const override;

 private:
  const Control& control_;
};

HttpAnswer get_metrics(const Call& call);

}  // namespace hnv
