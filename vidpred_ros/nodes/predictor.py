"""The predictor node: camera frames in, future frames out.

A managed (lifecycle) node. The executor's thread receives frames and keeps the window without a hole; a worker thread
predicts on the newest window. The latency stages are explained in ``_forecast``.

Subscribes   image (sensor_msgs/Image) or image/compressed: sensor QoS, depth 1
Publishes    ~/future/step_<k>/image, k = 1..K: stamped with the instant predicted and the camera's frame_id
             ~/future/filmstrip: the last frame and the futures; stamped with the last instant that it shows
             ~/future/info (diagnostic_msgs/DiagnosticArray): see messages.info_message; stamped with the source frame
             /diagnostics at 1 Hz, in every state
Service      ~/reset (std_srvs/Trigger): empties the window
"""

from __future__ import annotations

import sys
import time
import traceback
from dataclasses import dataclass
from typing import Any

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.clock import Clock, ClockType
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.qos import HistoryPolicy, QoSProfile, ReliabilityPolicy
from rclpy.qos_overriding_options import QoSOverridingOptions
from rclpy.subscription import Subscription
from rclpy.task import Future
from sensor_msgs.msg import CompressedImage, Image
from std_srvs.srv import Trigger

from vidpred_ros.errors import ConfigError, ImageError, VidpredError
from vidpred_ros.images import camera_frame, decode_compressed
from vidpred_ros.nodes.diagnostics import BUSY, Counters, Reporter, Subject, explain_silence
from vidpred_ros.nodes.messages import filmstrip, header, stamp_to_ns
from vidpred_ros.nodes.outputs import Outputs
from vidpred_ros.nodes.parameters import PREDICTOR, Parameters
from vidpred_ros.nodes.process import run_node
from vidpred_ros.nodes.worker import Worker
from vidpred_ros.predictors import Predictor, make_predictor
from vidpred_ros.preprocess import crop_and_resize
from vidpred_ros.window import FrameWindow, Offer, Window

SUCCESS, FAILURE = TransitionCallbackReturn.SUCCESS, TransitionCallbackReturn.FAILURE


@dataclass(frozen=True)
class _Job:
    window: Window
    frame_id: str
    receive_ms: float  # from the publisher's write to our callback
    arrived: float  # perf_counter at the start of the callback
    kept: float  # perf_counter once the frame was converted, resized and in the window


class PredictorNode(LifecycleNode):
    """See the module's docstring for topics; the parameters are in parameters.PREDICTOR."""

    def __init__(self) -> None:
        super().__init__("predictor", automatically_declare_parameters_from_overrides=True)
        self._state = "unconfigured"
        self._declared = Parameters(self, PREDICTOR, settable=lambda: self._state == "unconfigured")
        self._settings: dict[str, Any] = {}
        self._configure_error = ""
        self._predictor: Predictor | None = None
        self._window = FrameWindow(period_s=0.1)
        self._worker: Worker[_Job] | None = None
        self._subscription: Subscription | None = None
        self._outputs: Outputs | None = None
        self.finished: Future[None] = Future()  # a predictor has no end of its own
        self._counters = Counters()
        self._newest_sent: dict[str, int] = {}  # number of the newest message by publisher
        self._image_shape: tuple[int, ...] = ()

        self._diagnostics = self.create_publisher(DiagnosticArray, "/diagnostics", 10)
        self._reporter = Reporter(f"{self.get_fully_qualified_name().lstrip('/')}: forecast")
        # steady, so that the report goes on while simulated time stands still or jumps back
        self._timer = self.create_timer(1.0, self._report, clock=Clock(clock_type=ClockType.STEADY_TIME))
        self._reset_service = self.create_service(Trigger, "~/reset", self._on_reset)

    def start(self) -> None:
        """Configure and activate at once if the parameter autostart says so. Raises ConfigError if that fails."""
        if not self.get_parameter("autostart").value:
            return
        if self.trigger_configure() != SUCCESS or self.trigger_activate() != SUCCESS:
            raise ConfigError(
                f"the predictor could not start: {self._configure_error or 'see the log above'}"
            )

    # --- lifecycle -------------------------------------------------------------------------------------------------

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        try:
            self._settings = self._declared.values()
            self._predictor = self._load_predictor()
            self._window = FrameWindow(self._predictor.period_s, self._predictor.window_length)
            self._outputs = Outputs(self, self._predictor.steps)
        except Exception as error:  # noqa: BLE001 - rclpy would swallow it; the user reads it and tries again
            self._unload()
            known = isinstance(error, VidpredError)
            self._configure_error = str(error) if known else f"{type(error).__name__}: {error}"
            self.get_logger().error(
                f"configure failed: {self._configure_error if known else traceback.format_exc()}"
            )
            return FAILURE
        self._configure_error = ""
        self._state = "inactive"
        self.get_logger().info(
            f"{self._predictor.model_id} on {self._predictor.engine}, {self._predictor.steps} steps"
        )
        return super().on_configure(state)

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        result = super().on_activate(state)
        self._counters = Counters()
        self._newest_sent.clear()
        self._worker = Worker(self._predict)
        # only the newest frame counts, so nothing is queued; qos_overrides parameters change the rest
        qos = QoSProfile(history=HistoryPolicy.KEEP_LAST, depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
        # Humble's rclpy hands over no message info: then the time in transport and missed frames stay unknown
        with_info = hasattr(Subscription, "CallbackType")
        self._subscription = self.create_subscription(
            self._image_type(),
            self._image_topic(),
            self._on_image if with_info else lambda message: self._on_image(message, {}),
            qos,
            qos_overriding_options=QoSOverridingOptions.with_default_policies(),
        )
        self._state = "active"
        return result

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        self._stop()
        self._state = "inactive"
        return super().on_deactivate(state)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        result = super().on_cleanup(state)
        self._unload()
        self._state = "unconfigured"
        return result

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        self._stop()
        self._unload()
        self._state = "finalized"
        return super().on_shutdown(state)

    def close(self) -> None:
        """End the worker and free the engine, whatever the state."""
        self._stop()
        self._unload()

    def _load_predictor(self) -> Predictor:
        engine = self._settings["engine"]
        predictor = make_predictor(
            self._settings["model"], None if engine == "auto" else engine, self._settings["steps"]
        )
        # the first inference allocates and compiles: spend that time here, and find a broken engine before a frame comes
        black = np.zeros((*predictor.size, 3), np.uint8)
        length, period_ns = predictor.window_length, round(predictor.period_s * 1e9)
        stamps = tuple(k * period_ns for k in range(length))
        forecast = predictor.predict(
            Window(stamps, (black,) * length, epoch=-1, sequence=length, period_ns=period_ns)
        )
        filmstrip(black, forecast)  # OpenCV loads its font
        return predictor

    def _stop(self) -> None:
        if self._subscription is not None:
            self.destroy_subscription(self._subscription)
            self._subscription = None
        if self._worker is not None:
            self._worker.stop()
            self._worker = None
        self._window.reset()

    def _unload(self) -> None:
        if self._outputs is not None:
            self._outputs.destroy()
            self._outputs = None
        if self._predictor is not None:
            self._predictor.close()
            self._predictor = None

    # --- frames in: the executor's thread --------------------------------------------------------------------------

    def _image_type(self) -> type:
        return Image if self._settings["image_transport"] == "raw" else CompressedImage

    def _image_topic(self) -> str:
        topic = self.resolve_topic_name("image")
        return topic if self._settings["image_transport"] == "raw" else f"{topic}/compressed"

    def _on_image(self, message: Image | CompressedImage, info: Any) -> None:
        arrived = time.perf_counter()
        sent_ns = info.get("source_timestamp", 0)
        receive_ms = max(0.0, (time.time_ns() - sent_ns) / 1e6) if sent_ns else 0.0
        self._counters.count_frame(self._missed_before(info))
        stamp_ns = stamp_to_ns(message.header.stamp)
        try:
            if isinstance(message, CompressedImage):
                kept = self._keep_compressed(stamp_ns, message)
            else:
                kept = self._keep(stamp_ns, message)
        except ImageError as error:
            self._counters.count_drop("corrupt image", str(error))
            self.get_logger().warning(f"dropped an image: {error}", throttle_duration_sec=5.0)
            return
        window = self._window.window() if kept else None
        if window is None or self._worker is None:
            return
        job = _Job(window, message.header.frame_id, receive_ms, arrived, time.perf_counter())
        if self._worker.submit(job):
            self._counters.count_drop(BUSY)

    def _keep(self, stamp_ns: int, image: Image) -> bool:
        """Convert and store the frame if the window wants it; the header decides, so skipped frames cost nothing."""
        if not self._offer(stamp_ns, (image.height, image.width, image.encoding)).take:
            return False
        shape = (image.height, image.width, image.encoding, image.is_bigendian, image.step)
        self._window.push(stamp_ns, camera_frame(*shape, image.data, self._size()))
        return True

    def _keep_compressed(self, stamp_ns: int, image: CompressedImage) -> bool:
        """The same for a compressed image, whose size is known only once it is decoded."""
        if not self._offer(stamp_ns, image.format).take:
            return False
        pixels = decode_compressed(image.data, image.format)
        if len(self._window) and pixels.shape != self._image_shape:
            self._window.reset()
            self._window.offer(stamp_ns, image.format)
            self._counters.count_reset("image changed")
        self._image_shape = pixels.shape
        self._window.push(stamp_ns, crop_and_resize(pixels, self._size()))
        return True

    def _size(self) -> tuple[int, int]:
        assert self._predictor is not None, "frames come between configure and cleanup"
        return self._predictor.size

    def _offer(self, stamp_ns: int, signature: object) -> Offer:
        answer = self._window.offer(stamp_ns, signature)
        if answer.reset:
            self._counters.count_reset(answer.reset)
            self.get_logger().info(f"the window begins anew: {answer.reset}")
        if answer.skipped:
            self._counters.count_drop(answer.skipped)
        return answer

    def _missed_before(self, info: Any) -> int:
        """Messages that the publisher numbered between the last one seen and this one (0 where it numbers none)."""
        number, publisher = info.get("publication_sequence_number"), str(info.get("publisher_gid"))
        if number is None:
            return 0
        before = self._newest_sent.get(publisher, number - 1)
        self._newest_sent[publisher] = max(before, number)
        return max(0, number - before - 1)

    def _on_reset(self, request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        held = len(self._window)
        self._window.reset()
        if self._worker is not None:
            self._worker.clear()
        self._counters.count_reset("service")
        response.success, response.message = True, f"forgot {held} frames"
        return response

    # --- futures out: the worker's thread --------------------------------------------------------------------------

    def _predict(self, job: _Job) -> None:
        try:
            self._forecast(job)
        except Exception as error:  # noqa: BLE001 - whatever the engine raises, the node lives on and says so
            if not self.context.ok():
                return  # a signal closed the graph between the frame and its forecast
            self._counters.count_drop("prediction failed", f"{type(error).__name__}: {error}")
            self.get_logger().error(
                f"prediction failed:\n{traceback.format_exc()}", throttle_duration_sec=5.0
            )

    def _forecast(self, job: _Job) -> None:
        """Predict, publish and keep the time of each stage in ms.

        receive: from the publisher's write to our callback; convert: to the kept frame at the model's size; wait: for this
        thread; predict: of it, the predictor's own stages are predict/...; publish: of the images; overhead: the total
        less the predictor's own stages.
        """
        predictor, outputs = self._predictor, self._outputs
        assert predictor is not None and outputs is not None, "the worker lives between configure and cleanup"
        begun = time.perf_counter()
        forecast = predictor.predict(job.window)
        predicted = time.perf_counter()
        outputs.publish_images(forecast, job.window.frames[-1], job.frame_id)
        published = time.perf_counter()

        total_ms = job.receive_ms + (published - job.arrived) * 1e3
        overhead_ms = total_ms - sum(forecast.latency_ms.values())
        stages = {
            "receive": job.receive_ms,
            "convert": (job.kept - job.arrived) * 1e3,
            "wait": (begun - job.kept) * 1e3,
            **{f"predict/{stage}": ms for stage, ms in forecast.latency_ms.items()},
            "predict": (predicted - begun) * 1e3,
            "publish": (published - predicted) * 1e3,
            "total": total_ms,
            "overhead": overhead_ms,
        }
        self._counters.count_forecast(total_ms, overhead_ms)
        outputs.publish_info(forecast, job.frame_id, predictor.engine, job.window.sequence, stages)

    # --- diagnostics -----------------------------------------------------------------------------------------------

    def _explain_silence(self) -> str:
        assert self._subscription is not None, "asked in the active state only"
        wanted = f"sensor_msgs/msg/{self._image_type().__name__}"
        return explain_silence(self, self._image_topic(), wanted, self._subscription.qos_profile)

    def _report(self) -> None:
        subject = Subject(
            state=self._state,
            topic=self._image_topic() if self._settings else self.resolve_topic_name("image"),
            filled=len(self._window),
            length=self._window.length,
            period_s=self._window.period_ns / 1e9,
            model=self._predictor.model_id if self._predictor else "",
            engine=self._predictor.engine if self._predictor else "",
            timeout_s=self._settings.get("frame_timeout", 0.0),
            configure_error=self._configure_error,
        )
        status = self._reporter.report(self._counters, subject, self._explain_silence)
        self._diagnostics.publish(
            DiagnosticArray(header=header(self.get_clock().now().nanoseconds, ""), status=[status])
        )


def main() -> int:
    """Run the node until SIGINT or SIGTERM. Returns the process's exit code."""
    return run_node(PredictorNode)


if __name__ == "__main__":
    sys.exit(main())
