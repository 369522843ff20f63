// SPDX-License-Identifier: Apache-2.0
//
// ARP and neighbour discovery as whole frames of an outside link, ready for Resolver::Inject. No
// buffer: nullptr. Control thread.
#pragma once

#include <optional>

#include <rte_mbuf.h>

#include "compartments/own_addresses.h"
#include "gateway/next_hops.h"

namespace hnv {

// Asks who has `target`, from our address `source` there; `to` is a probe of a known neighbour.
[[nodiscard]] rte_mbuf* make_request(rte_mempool& packets, const OutLink& link,
                                     const LinkAddress& source, const LinkAddress& target,
                                     const std::optional<MacAddress>& to);

// About one of our addresses: a probe asks whether somebody else has it (RFC 4862 §5.4.2, RFC 5227
// §2.1.1), an announcement or defence tells everybody that it is ours (RFC 4861 §7.2.6, RFC 5227
// §2.3).
[[nodiscard]] rte_mbuf* make_own_address_message(rte_mempool& packets, const OutLink& link,
                                                 const OwnAddresses::Message& message);

}  // namespace hnv
