"""The predictor node: camera frames in, future frames out, and with the parameter structure future label maps.

A managed (lifecycle) node. The executor's thread receives; each lane (lane.py) predicts in a thread of its own. With the
parameter cameras it has a lane for each camera, all with one engine and one thread: image and ~/future become <name>/image
and ~/<name>/future.

Subscribes   image (sensor_msgs/Image) or image/compressed: sensor QoS, depth 1
             labels (sensor_msgs/Image, mono8), if the parameter segmenter is "topic"
             camera_info (sensor_msgs/CameraInfo), with the parameter ground
Publishes    ~/future/step_<k>/image, k = 1..K: stamped with the instant predicted and the camera's frame_id
             ~/future/filmstrip: the last frame and the futures; stamped with the last instant that it shows
             ~/future/info (diagnostic_msgs/DiagnosticArray): see messages.info_message; stamped with the source frame
             ~/future/step_<k>/labels and more: see label_outputs.py
             /diagnostics at 1 Hz, in every state: a status for each lane; while it configures, how far that has got
Service      ~/reset (std_srvs/Trigger): empties the windows
"""

from __future__ import annotations

import sys
import time
import traceback
from collections.abc import Callable
from contextlib import closing
from functools import partial
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rclpy.clock import Clock, ClockType
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.qos import QoSProfile
from rclpy.qos_overriding_options import QoSOverridingOptions
from rclpy.subscription import Subscription
from rclpy.task import Future
from sensor_msgs.msg import CompressedImage, Image
from std_srvs.srv import Trigger

from vidpred_ros.errors import ConfigError, VidpredError
from vidpred_ros.nodes.diagnostics import Counters, Reporter, Subject, explain_silence
from vidpred_ros.nodes.label_lane import LabelLane, LabelTopicLane
from vidpred_ros.nodes.lane import Arrival, Lane
from vidpred_ros.nodes.lanes import make_lanes
from vidpred_ros.nodes.messages import header, stamp_to_ns
from vidpred_ros.nodes.parameters import PREDICTOR, Parameters
from vidpred_ros.nodes.picture import Picture
from vidpred_ros.nodes.preparation import Preparation, describe
from vidpred_ros.nodes.process import run_node
from vidpred_ros.nodes.qos import NEWEST, RECENT

SUCCESS, FAILURE = TransitionCallbackReturn.SUCCESS, TransitionCallbackReturn.FAILURE


class PredictorNode(LifecycleNode):
    """See the module's docstring for topics; the parameters are in parameters.PREDICTOR."""

    def __init__(self) -> None:
        super().__init__("predictor", automatically_declare_parameters_from_overrides=True)
        self._state = "unconfigured"
        self._declared = Parameters(self, PREDICTOR, settable=lambda: self._state == "unconfigured")
        self._settings: dict[str, Any] = {}
        self._error = ""  # that made the last transition fail
        self._lanes: dict[str, Lane] = {}
        self._inputs: dict[str, Subscription] = {}
        self.finished: Future[None] = Future()  # a predictor has no end of its own
        self._newest_sent: dict[tuple[str, str], int] = {}  # number of the newest message by topic and publisher

        self._diagnostics = self.create_publisher(DiagnosticArray, "/diagnostics", 10)
        self._reporters: dict[str, Reporter] = {}  # by lane
        # steady, so that the report goes on while simulated time stands still or jumps back
        self._timer = self.create_timer(1.0, self._report, clock=Clock(clock_type=ClockType.STEADY_TIME))
        self._reset_service = self.create_service(Trigger, "~/reset", self._on_reset)

    def start(self) -> None:
        """Configure and activate at once if the parameter autostart says so. Raises ConfigError if that fails."""
        if not self.get_parameter("autostart").value:
            return
        if self.trigger_configure() != SUCCESS or self.trigger_activate() != SUCCESS:
            raise ConfigError(f"the predictor could not start: {self._error or 'see the log above'}")

    # --- lifecycle -------------------------------------------------------------------------------------------------

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        try:
            self._settings = self._declared.values()
            with closing(Preparation(self._tell, self.get_logger().info, self.context.ok)) as progress:
                self._lanes = make_lanes(self, self._settings, progress)
        except Exception as error:  # noqa: BLE001 - see _fail
            return self._fail("configure", error)
        self._error, self._state = "", "inactive"
        for name, lane in self._lanes.items():
            predictor = lane.predictor
            self.get_logger().info(
                f"{name}: {predictor.model_id} on {predictor.engine}, {predictor.steps} steps"
            )
        self.get_logger().info(f"configured in {progress.seconds:.1f} s")
        return super().on_configure(state)

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        result = super().on_activate(state)
        self._newest_sent.clear()
        try:
            for lane in self._lanes.values():
                lane.start()
            for topic in {lane.image: None for lane in self._lanes.values()}:
                self._subscribe(topic, self._image_type(), partial(self._on_image, topic), NEWEST)
            if isinstance(self._lanes.get("labels"), LabelTopicLane):
                self._subscribe("labels", Image, self._on_labels, RECENT)
        except Exception as error:  # noqa: BLE001 - see _fail
            self._stop()
            super().on_deactivate(state)
            return self._fail("activate", error)
        self._error, self._state = "", "active"
        return result

    def _fail(self, transition: str, error: Exception) -> TransitionCallbackReturn:
        """Tell of an error, which rclpy would swallow: the user reads it and tries again."""
        known = isinstance(error, VidpredError)
        self._error = f"{transition} failed: {error if known else f'{type(error).__name__}: {error}'}"
        self.get_logger().error(self._error if known else "".join([f"{transition} failed:\n", *traceback.format_exception(error)]))
        return FAILURE

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        self._stop()
        self._state = "inactive"
        return super().on_deactivate(state)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        result = super().on_cleanup(state)
        self._unload()
        self._error, self._state = "", "unconfigured"
        return result

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        self.close()
        self._error, self._state = "", "finalized"
        return super().on_shutdown(state)

    def close(self) -> None:
        """End the lanes and free their engines, whatever the state."""
        self._stop()
        self._unload()

    def _stop(self) -> None:
        for subscription in self._inputs.values():
            self.destroy_subscription(subscription)
        self._inputs.clear()
        for lane in self._lanes.values():
            lane.stop()

    def _unload(self) -> None:
        for lane in self._lanes.values():
            lane.close()
        self._lanes = {}

    # --- messages in -----------------------------------------------------------------------------------------------

    def _subscribe(
        self, source: str, kind: type, receive: Callable[[Any, Any], None], qos: QoSProfile
    ) -> None:
        """Subscribe with the QoS, or what a qos_overrides parameter makes of it. Raises ConfigError where that is none."""
        # Humble's rclpy hands over no message info: then the time in transport and missed frames stay unknown
        with_info = hasattr(Subscription, "CallbackType")
        topic = self._topic(source)
        try:
            self._inputs[source] = self.create_subscription(
                kind,
                topic,
                receive if with_info else lambda message: receive(message, {}),
                qos,
                qos_overriding_options=QoSOverridingOptions.with_default_policies(),
            )
        except Exception as error:  # rclpy raises all kinds for a value that is no quality of service
            raise ConfigError(f"cannot subscribe to {topic}: {error!r}; look at the parameters qos_overrides.{topic}") from error

    def _image_type(self) -> type[Image | CompressedImage]:
        return Image if self._settings["image_transport"] == "raw" else CompressedImage

    def _on_image(self, topic: str, message: Image | CompressedImage, info: Any) -> None:
        arrival, picture = self._arrival(topic, message, info), Picture(message)
        for lane in self._lanes.values():
            if lane.image == topic:
                lane.take(arrival, picture)

    def _on_labels(self, message: Image, info: Any) -> None:
        lane = self._lanes.get("labels")
        assert isinstance(lane, LabelTopicLane), "subscribed for no other"
        lane.take_labels(self._arrival("labels", message, info), message)

    def _arrival(self, topic: str, message: Image | CompressedImage, info: Any) -> Arrival:
        begun = time.perf_counter()
        sent_ns = info.get("source_timestamp", 0)
        receive_ms = max(0.0, (time.time_ns() - sent_ns) / 1e6) if sent_ns else 0.0
        stamp_ns = stamp_to_ns(message.header.stamp)
        return Arrival(stamp_ns, message.header.frame_id, self._missed_before(topic, info), receive_ms, begun)

    def _missed_before(self, topic: str, info: Any) -> int:
        """Messages that the publisher numbered between the last one seen and this one (0 where it numbers none)."""
        number = info.get("publication_sequence_number")
        if number is None:
            return 0
        publisher = (topic, str(info.get("publisher_gid")))  # which Jazzy's rclpy does not tell
        before = self._newest_sent.get(publisher, number - 1)
        self._newest_sent[publisher] = max(before, number)
        return max(0, number - before - 1)

    def _on_reset(self, request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        held = " and ".join(str(lane.forget()) for lane in self._lanes.values())
        response.success, response.message = True, f"forgot {held or 0} frames"
        return response

    # --- diagnostics -----------------------------------------------------------------------------------------------

    def _report(self) -> None:
        statuses = [self._status(name, lane) for name, lane in self._lanes.items()]
        if not statuses:  # the first lane's status tells of a node that has none
            none = Subject(self._state, self._topic("image"), error=self._error)
            statuses = [self._reporter("forecast").report(Counters(), none, str)]
        stamp_ns = self.get_clock().now().nanoseconds
        self._diagnostics.publish(DiagnosticArray(header=header(stamp_ns, ""), status=statuses))

    def _tell(self, what: str, share: float | None, seconds: float) -> None:
        """Of the configuring that goes on, in the thread of ``Preparation``."""
        if not self.context.ok():
            return  # a signal closed the graph
        subject = Subject("configuring", self._topic("image"), model=self._settings["model"])
        status = self._reporter("forecast").preparing(subject, describe(what, share, seconds), share, seconds)
        stamp_ns = self.get_clock().now().nanoseconds
        self._diagnostics.publish(DiagnosticArray(header=header(stamp_ns, ""), status=[status]))

    def _status(self, name: str, lane: Lane) -> DiagnosticStatus:
        subject = Subject(
            state=self._state,
            topic=self._topic(lane.source),
            filled=len(lane.window),
            length=lane.window.length,
            period_s=lane.window.period_ns / 1e9,
            model=lane.predictor.model_id,
            engine=lane.predictor.engine,
            timeout_s=self._settings["frame_timeout"],
            every_window=not isinstance(lane, LabelLane),  # few computers sample label maps ten times a second
            error=self._error,
        )
        return self._reporter(name).report(lane.counters, subject, lambda: self._why_silent(lane.source))

    def _reporter(self, lane: str) -> Reporter:
        name = f"{self.get_fully_qualified_name().lstrip('/')}: {lane}"
        return self._reporters.setdefault(lane, Reporter(name))

    def _topic(self, source: str) -> str:
        topic = self.resolve_topic_name(source)
        compressed = source != "labels" and self._settings.get("image_transport") == "compressed"
        return f"{topic}/compressed" if compressed else topic

    def _why_silent(self, source: str) -> str:
        wanted = f"sensor_msgs/msg/{(Image if source == 'labels' else self._image_type()).__name__}"
        return explain_silence(self, self._topic(source), wanted, self._inputs[source].qos_profile, source)


def main() -> int:
    """Run the node until SIGINT or SIGTERM. Returns the process's exit code."""
    return run_node(PredictorNode)


if __name__ == "__main__":
    sys.exit(main())
