// SPDX-License-Identifier: Apache-2.0
#include "compartments/route_socket.h"

#include <array>
#include <cerrno>
#include <cstring>
#include <linux/if_addr.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <sys/socket.h>
#include <utility>

#include <fmt/format.h>

namespace hnv {
namespace {

void add_attribute(std::string& out, uint16_t type, const void* bytes, size_t size) {
  const rtattr head{static_cast<uint16_t>(RTA_LENGTH(size)), type};
  out.append(reinterpret_cast<const char*>(&head), sizeof head);
  out.append(static_cast<const char*>(bytes), size);
  out.append(RTA_ALIGN(size) - size, '\0');
}

}  // namespace

Result<RouteSocket> RouteSocket::open() {
  OwnedFd fd(socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE));
  if (!fd) {
    return fail(ErrorCode::internal, fmt::format("no routing socket: {}", std::strerror(errno)));
  }
  return RouteSocket(std::move(fd));
}

template <class Body>
Result<void> RouteSocket::ask(uint16_t type, uint16_t flags, const Body& body,
                              const std::string& attributes, const std::string& what) {
  nlmsghdr head{};
  head.nlmsg_len = static_cast<uint32_t>(NLMSG_LENGTH(sizeof body) + attributes.size());
  head.nlmsg_type = type;
  head.nlmsg_flags = static_cast<uint16_t>(NLM_F_REQUEST | NLM_F_ACK | flags);
  head.nlmsg_seq = ++sequence_;
  std::string request(reinterpret_cast<const char*>(&head), sizeof head);
  request.append(reinterpret_cast<const char*>(&body), sizeof body);
  request.append(NLMSG_ALIGN(sizeof body) - sizeof body, '\0');
  request += attributes;
  std::array<char, 4096> answer{};
  ssize_t n = send(fd_.get(), request.data(), request.size(), 0);
  if (n >= 0) n = recv(fd_.get(), answer.data(), answer.size(), 0);
  int fault = errno;
  if (n >= static_cast<ssize_t>(NLMSG_LENGTH(sizeof(nlmsgerr)))) {
    nlmsgerr verdict{};
    std::memcpy(&verdict, answer.data() + NLMSG_HDRLEN, sizeof verdict);
    fault = -verdict.error;
  }
  if (fault == 0) return {};
  errno = fault;  // for who reports a number
  return fail(ErrorCode::internal, fmt::format("{}: {}", what, std::strerror(fault)));
}

Result<void> RouteSocket::set_up(unsigned interface) {
  ifinfomsg body{};
  body.ifi_family = AF_UNSPEC;
  body.ifi_index = static_cast<int>(interface);
  body.ifi_flags = IFF_UP;
  body.ifi_change = IFF_UP;
  return ask(RTM_NEWLINK, 0, body, {}, fmt::format("interface {} up", interface));
}

Result<void> RouteSocket::change_address(Change change, unsigned interface, Family family,
                                         const std::array<uint8_t, 16>& address) {
  const bool v4 = family == Family::ipv4;
  const size_t size = v4 ? 4 : 16;
  ifaddrmsg head{};
  head.ifa_family = v4 ? AF_INET : AF_INET6;
  head.ifa_prefixlen = static_cast<uint8_t>(size * 8);
  head.ifa_flags = IFA_F_NODAD;  // nobody else is on a TUN
  head.ifa_index = interface;
  std::string attributes;
  add_attribute(attributes, IFA_LOCAL, address.data(), size);
  add_attribute(attributes, IFA_ADDRESS, address.data(), size);
  const std::string text =
      v4 ? address_text::format4(uint32_t{address[0]} << 24 | uint32_t{address[1]} << 16 |
                                 uint32_t{address[2]} << 8 | address[3])
         : address_text::format6(address);
  if (change == Change::remove) {
    return ask(RTM_DELADDR, 0, head, attributes, "removing the address " + text);
  }
  return ask(RTM_NEWADDR, NLM_F_CREATE | NLM_F_REPLACE, head, attributes,
             "adding the address " + text);
}

Result<void> RouteSocket::add_default_route(unsigned interface, Family family) {
  rtmsg body{};
  body.rtm_family = family == Family::ipv4 ? AF_INET : AF_INET6;
  body.rtm_table = RT_TABLE_MAIN;
  body.rtm_protocol = RTPROT_STATIC;
  body.rtm_scope = RT_SCOPE_UNIVERSE;
  body.rtm_type = RTN_UNICAST;
  std::string attributes;
  add_attribute(attributes, RTA_OIF, &interface, sizeof interface);
  return ask(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, body, attributes, "a default route");
}

}  // namespace hnv
