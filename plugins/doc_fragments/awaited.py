# Copyright (c) 2026 pi_controller.raft_migration contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Options of modules that wait for a state of the cluster."""

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  wait_for:
    description: Conditions that must all hold in one look.
    type: dict
    suboptions:
      leader:
        description: V(true) wants one leader that a majority of the voters follows.
        type: bool
        default: false
      voters:
        description: Exactly so many voters in the leader's list of members.
        type: int
      learners:
        description:
          - V(true) has members without a vote count like voters in O(wait_for.voters), O(wait_for.caught_up) and
            O(wait_for.caught_up_at). A majority is one of voters all the same.
        type: bool
        default: false
      caught_up:
        description:
          - Every voter answers, follows the leader, heard it less than a second ago, and has applied what the leader
            had committed when this module first saw it lead.
          - Implies O(wait_for.leader).
        type: bool
        default: false
      caught_up_at:
        description:
          - There is a leader, and the voter on each of these hosts has caught up with it, whatever the others do.
          - To be asked on that host itself where a gate may lead its standard port to another one, which would answer
            in its place.
        type: list
        elements: str
      answered:
        description: Every URL answers.
        type: bool
        default: false
      leader_id_not:
        description: There is a leader, and it is another member than this one.
        type: str
  wait_timeout:
    description: Seconds to wait for O(wait_for); V(0) is one look.
    type: float
    default: 0
  hosts:
    description:
      - Addresses by the names that the hosts have in the inventory.
      - C(leader.host) of what is returned of the cluster is the one that the leader is on then. A leader that is on none of them is a failure.
    type: dict
"""
