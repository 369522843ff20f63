// SPDX-License-Identifier: Apache-2.0
//
// Why a packet ended here. Reason, counter, metric label and trace word are one name; the sentence
// is what the manual (gateway/DROPS.md, generated) and `hnvctl drops` say.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace hnv {

// clang-format off
#define HNV_DROP_REASONS(X)                                                                        \
  /* classify: outer headers */                                                                    \
  X(frame_short,            "the frame ends before its headers do")                                \
  X(frame_segmented,        "the frame does not lie in one buffer")                                \
  X(vlan_unknown,           "no network or connection uses this VLAN of the port")                 \
  X(vlan_stacked,           "the frame carries more than one VLAN tag")                            \
  X(mac_not_ours,           "the destination MAC is not ours on this network")                     \
  X(ether_type_unknown,     "the Ethernet type is not IPv4, IPv6 or ARP")                          \
  X(arp_bad,                "a malformed ARP packet")                                              \
  X(arp_not_ours,           "an ARP packet that does not concern our addresses")                   \
  X(arp_ambiguous,          "several connections on this network have the address: whose is meant?") \
  X(nd_bad,                 "a neighbour discovery message that fails RFC 4861's checks")          \
  X(nd_not_ours,            "neighbour discovery that does not concern our addresses")             \
  X(nd_ambiguous,           "several connections on this network have the address: whose is meant?") \
  X(mld_ignored,            "multicast listener discovery: the gateway routes no groups")          \
  X(extension_header_bad,   "the IPv6 extension headers run over the packet's end, or are too many") \
  X(outer_bad_header,       "outer IP version, header length or total length is wrong")            \
  X(outer_bad_checksum,     "the outer IP header checksum is wrong")                               \
  X(outer_fragment,         "the outer IP packet is a fragment")                                   \
  X(outer_bad_source,       "the outer source is loopback, multicast, link-local or our own")      \
  X(outer_not_ours,         "the outer destination is not one of our addresses")                   \
  X(outer_protocol,         "nothing here serves this protocol on an outside address")             \
  X(gre_not_on_fabric,      "GRE came in on something that is not a provider network")             \
  /* enter_nvgre */                                                                                \
  X(nvgre_short,            "the packet ends inside the GRE or the inner Ethernet header")         \
  X(nvgre_bad_flags,        "GRE flags or version are not NVGRE's (key only, version 0)")          \
  X(nvgre_bad_protocol,     "the GRE protocol type is not 0x6558")                                 \
  X(nvgre_reserved_vsid,    "the VSID is reserved (0..0xFFF, 0xFFFFFF)")                           \
  X(nvgre_unknown_vsid,     "no virtual subnet has this VSID")                                     \
  X(nvgre_wrong_network,    "the VSID belongs to another provider network")                        \
  X(nvgre_wrong_pa,         "the outer destination is not the virtual subnet's provider address")  \
  X(nvgre_inner_vlan,       "the inner frame is tagged (RFC 7637 3.2)")                            \
  X(nvgre_inner_mac,        "the inner destination MAC is not the gateway's")                      \
  X(nvgre_inner_type,       "the inner Ethernet type is not IPv4, IPv6 or ARP")                    \
  X(nvgre_unknown_source,   "no lookup record or wildcard vouches for the source")                 \
  X(nvgre_wrong_source_pa,  "the source's lookup record names another provider address")           \
  X(nvgre_wrong_source_mac, "the source's lookup record names another MAC address")                \
  X(nvgre_no_record,        "only an L2Only record, or no record, matches; IP needs one")          \
  X(dhcp_not_served,        "DHCP came to the gateway, which serves none")                         \
  /* enter_ipsec and leave_ipsec */                                                                \
  X(ipsec_short,            "the packet is too short for ESP, or does not fit the cipher's blocks") \
  X(ipsec_unknown_spi,      "no security association has this SPI at this address of this network") \
  X(ipsec_replayed,         "the sequence number has been seen, or lies behind the replay window") \
  X(ipsec_bad_icv,          "the integrity check failed: forged, damaged, or under another key")   \
  X(ipsec_bad_padding,      "the padding behind the decrypted packet is not RFC 4303's")           \
  X(ipsec_next_header,      "the decrypted packet is not IPv4 or IPv6 (tunnel mode)")              \
  X(ipsec_policy_mismatch,  "the traffic selectors of the security association do not cover the packet") \
  X(ipsec_source_not_routed, "the source is not reached through this tunnel (reverse path)")       \
  X(ipsec_tunnel_gone,      "the connection of the security association is gone")                  \
  X(ipsec_no_sa,            "the tunnel is down: no security association, or none came in time")   \
  X(ipsec_sequence_exhausted, "the security association has used all sequence numbers")            \
  X(ipsec_rate_limited,     "too much waits for the tunnel's rate already (outbound, inboundKiloBitsPerSecond)") \
  X(ipsec_queue_delay,      "packets waited too long for the tunnel's rate: TCP is told to send less (CoDel)") \
  X(ipsec_no_outside_route, "the external network has no route to the site")                       \
  /* any door: the packet inside the compartment */                                                \
  X(inner_bad_header,       "inner IP version, header length or total length is wrong")            \
  X(inner_bad_checksum,     "the inner IP header checksum is wrong")                               \
  X(inner_bad_source,       "the source is loopback, multicast, link-local or the gateway's own")  \
  X(ecn_congestion,         "congestion was marked on the fabric, and the sender knows no ECN (RFC 6040)") \
  /* enter_nat */                                                                                  \
  X(nat_spoofed,            "the source cannot be: our public address, the destination itself (LAND), or not reached by NAT") \
  X(nat_bad_header,         "the transport header is cut short, has port 0 or a wrong checksum")   \
  X(nat_ip_option,          "the packet carries an IP option that no network should pass on (RFC 7126)") \
  X(nat_no_session,         "no session and no mapping of this public address and port")           \
  X(nat_filtered,           "a mapping is there, but not for this sender (filtering, remotePrefix)") \
  X(nat_unsolicited_syn,    "a connection request from outside that nothing inside asked for")     \
  X(nat_icmp_unmatched,     "an ICMP error about a packet that no session knows")                  \
  X(nat_fragment_lost,      "a fragment whose first one did not come in time, or too many wait")   \
  /* enter_l3 */                                                                                   \
  X(l3_source_not_routed,   "the source is not reached through this connection (reverse path)")    \
  /* route */                                                                                      \
  X(inner_bad_destination,  "the destination is loopback, multicast, link-local or broadcast")     \
  X(directed_broadcast,     "the destination is a subnet's network or broadcast address")          \
  X(ttl_exceeded,           "the hop limit ended here")                                            \
  X(no_route,               "the compartment has no route to the destination")                     \
  X(route_unreachable,      "the best route says unreachable")                                     \
  X(local_not_served,       "nothing on the gateway serves this protocol or port")                 \
  X(terminated_ttl,         "a BGP peer's packet has come farther than the peer may be (GTSM)")  \
  X(terminated_rate,        "a BGP peer, or its domain, sends more than the control plane takes")  \
  X(compartment_gone,       "the routing domain was removed while the packet waited")              \
  /* leave doors and rewrite */                                                                    \
  X(record_missing,         "the virtual subnet has no record or wildcard for the next hop")       \
  X(mtu_exceeded,           "the packet is larger than the MTU behind the door")                   \
  X(fragment_no_buffer,     "no packet buffers for the fragments, or too many wait already")       \
  X(nat_no_rule,            "no outbound rule of the domain covers the source")                    \
  X(nat_protocol,           "the protocol has no ports to share an address by (a one-to-one mapping could)") \
  X(nat_no_port,            "the rule's public addresses have no free port for this domain")       \
  X(nat_domain_limit,       "the domain has as many sessions as it may (limits.sessionsPerDomain)") \
  X(nat_address_limit,      "the inside address has as many sessions as it may (limits.sessionsPerAddress)") \
  X(nat_port_limit,         "the inside address has as many ports as it may (limits.portsPerAddress)") \
  X(nat_rate_limit,         "the domain opens sessions faster than it may (limits.newSessionsPerSecond)") \
  X(nat_table_full,         "the gateway has as many sessions as it may (natSessions)")            \
  X(nat_hairpin_off,        "the destination is a public address of ours, and the domain's hairpin is off") \
  X(nat_no_outside_route,   "the external network has no route to the destination")                \
  X(next_hop_gone,          "the outside next hop was removed while the packet waited")            \
  X(neighbor_limit,         "the connection has as many neighbours, or unanswered requests, as it may") \
  X(next_hop_failed,        "the outside next hop does not answer ARP or ND")                            \
  X(next_hop_queue_full,    "too many packets wait for the outside next hop")                      \
  X(no_headroom,            "the buffer has no room for the outer headers")                        \
  /* respond, handoff, punt, tx */                                                                 \
  X(handoff_full,           "the worker that owns the flow, or sends on the port, is behind")      \
  X(handoff_loop,           "the workers did not agree which of them owns the packet's state")     \
  X(punt_queue_full,        "the control thread is behind, or an IKE sender exceeds its share")    \
  X(tx_full,                "the port took no more packets")                                       \
  X(draining,               "the gateway is shutting down")
// clang-format on

enum class DropReason : uint8_t {
#define X(name, sentence) name,
  HNV_DROP_REASONS(X)
#undef X
};
inline constexpr size_t kDropReasons = 0
#define X(name, sentence) +1  // NOLINT(bugprone-macro-parentheses): a sum
    HNV_DROP_REASONS(X)
#undef X
    ;

// What the gateway itself made: every such packet counts as originated under one of these.
enum class OriginReason : uint8_t {
  arp_reply,
  echo_reply,
  time_exceeded,
  unreachable,
  fragmentation_needed,
  fragment,
  neighbor_advertisement,
  packet_too_big,
  parameter_problem,
  hairpinned,
};
inline constexpr size_t kOriginReasons = 10;

// What ended here because it was answered, or cut into fragments.
enum class ConsumeReason : uint8_t {
  arp_request,
  echo_request,
  fragmented,
  neighbor_solicitation,
  hairpinned,     // it comes in again as if from outside (RFC 4787 REQ-9)
  nat_keepalive,  // RFC 3948 §4: of a site behind NAT
  esp_dummy,      // RFC 4303 §2.6: traffic that hides that there is none
};
inline constexpr size_t kConsumeReasons = 7;

[[nodiscard]] std::string_view to_string(DropReason reason);
[[nodiscard]] std::string_view to_string(OriginReason reason);
[[nodiscard]] std::string_view to_string(ConsumeReason reason);
// The sentence of the table above.
[[nodiscard]] std::string_view explain(DropReason reason);

}  // namespace hnv
