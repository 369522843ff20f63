// SPDX-License-Identifier: Apache-2.0
//
// What happens to a request between a listener and its route: repeats are answered from the replay
// cache, exceptions become JSON errors, and every request is logged with its caller.
#pragma once

#include "api/control.h"
#include "api/http.h"
#include "api/replay_cache.h"

namespace hnv {

// Any thread of the http pools.
class ApiService {
 public:
  explicit ApiService(Control& control) : control_(control) {}
  [[nodiscard]] HttpAnswer answer(const HttpRequest& request);

 private:
  HttpAnswer route(const HttpRequest& request);

  Control& control_;
  ReplayCache replays_;
};

}  // namespace hnv
