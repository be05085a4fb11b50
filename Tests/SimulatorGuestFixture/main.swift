// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: Airboss contributors

import FlySimulator
import Glibc

// Stands for `airboss simulator-guest` in tests of the simulator's guests.
exit(runGuestSupervisor(arguments: Array(CommandLine.arguments.dropFirst())))
