// SPDX-License-Identifier: Apache-2.0
//
// Who publishes holds the token that only the control loop makes.
#include "compartments/published.h"

void change(hnv::Published<int>& value, const hnv::ControlToken& token) {
#ifdef HNV_WRONG
  (void)token;
  value.publish(std::make_shared<const int>(1), hnv::ControlToken());
#else
  value.publish(std::make_shared<const int>(1), token);
#endif
}
